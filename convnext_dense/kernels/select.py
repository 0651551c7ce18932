"""Which functions compute a block, for the device, the type and the mode at hand."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.modules import module as global_hooks

from convnext_dense.kernels import onednn, reference, triton
from convnext_dense.kernels.autocast import autocast_dtype, compute_dtype
from convnext_dense.kernels.parameters import BlockFunctions
from convnext_dense.kernels.switched_off import all_switched_off, switched_off

# The `with plain_torch():` blocks that have been entered and not left yet. They count in all
# threads: autograd runs CUDA's backward passes, with what they compute again, in threads of its
# own, and Predictor runs the forward passes of several pictures at once.
_plain_torch_blocks = 0
# Subclasses of tensors define operators of their own.
_TENSOR_TYPES = (Tensor, nn.Parameter)


@contextmanager
def plain_torch() -> Iterator[None]:
    """Run every part in plain torch inside the ``with`` block, to compare or to debug.

    Example:
        >>> import torch
        >>> from convnext_dense import ConvNeXt
        >>> net = ConvNeXt("atto").eval()
        >>> with plain_torch():
        ...     outputs = net(torch.zeros(1, 3, 32, 32))
    """
    global _plain_torch_blocks
    _plain_torch_blocks += 1
    try:
        yield
    finally:
        _plain_torch_blocks -= 1


def fast_path(x: Tensor, *parameters: Tensor | None) -> BlockFunctions | None:
    """Return the fastest functions that can compute a block, or None for plain torch.

    Args:
        x: What the block is given, (N, C, H, W).
        parameters: The block's parameters. None stands for one that a layer was built without,
            which no fast path can do.
    """
    if is_transformed() or _plain_torch_blocks or is_every_call_hooked():
        return None
    device = x.device
    if device.type not in ("cpu", "cuda") or x.numel() == 0 or type(x) not in _TENSOR_TYPES:
        return None
    autocast = autocast_dtype(device.type)
    for p in parameters:
        if p is None or type(p) not in _TENSOR_TYPES or p.device != device:
            return None
        # Plain torch refuses mixed types with its own message.
        if autocast is None and p.dtype != x.dtype:
            return None
    dtype = compute_dtype(x)
    if device.type == "cpu" and onednn.available(dtype):
        return _switched_on("onednn", device, dtype) if onednn.is_worthwhile(x, dtype) else None
    if device.type == "cuda" and triton.available(device, dtype):
        return _switched_on("triton", device, dtype)
    return None


@dataclass(frozen=True)
class _Halves:
    """The functions of a block whose halves come from different modules."""

    conv_norm: Callable[..., Tensor]
    mlp: Callable[..., Tensor]


@functools.cache
def _switched_on(library: str, device: torch.device, dtype: torch.dtype) -> BlockFunctions | None:
    """Return a library's functions, with plain torch in place of those that are switched off."""
    functions: BlockFunctions = onednn
    if library == "triton":
        # Imports Triton, which is not there on every machine.
        from convnext_dense.kernels.triton import operators as functions
    off = switched_off(device)
    type_name = str(dtype).removeprefix("torch.")
    halves = {
        half: reference if f"{library}.{half}.{type_name}" in off else functions
        for half in ("conv_norm", "mlp")
    }
    if all_switched_off() or functions not in halves.values():
        return None
    if reference not in halves.values():
        return functions
    return _Halves(halves["conv_norm"].conv_norm, halves["mlp"].mlp)


def is_transformed() -> bool:
    """Whether something follows torch's operators one by one: a compiler, vmap, a FLOP counter.

    It would not know the operators of the fast paths, and shapes that depend on chance would break
    it.
    """
    return (
        torch.compiler.is_compiling()
        or torch.jit.is_tracing()
        or torch._C._are_functorch_transforms_active()
        or torch._C._len_torch_dispatch_stack() > 0
        or forward_ad._current_level >= 0
    )


def is_untouched(module: nn.Module, *classes: type[nn.Module]) -> bool:
    """Whether a module is of one of these classes, no subclass, and nothing hooks its calls.

    A layer that was replaced (adapters, quantisation), reparametrised or hooked must be called
    itself. :func:`is_every_call_hooked` sees hooks on all modules at once.
    """
    return (
        type(module) in classes
        and "forward" not in module.__dict__
        and not (module._forward_hooks or module._forward_pre_hooks)
        and not (module._backward_hooks or module._backward_pre_hooks)
    )


def is_every_call_hooked() -> bool:
    """Whether a hook is registered on all modules at once, so that each must be called itself."""
    # Only newer versions of torch have a function for it.
    return bool(
        global_hooks._global_forward_pre_hooks
        or global_hooks._global_forward_hooks
        or global_hooks._global_backward_pre_hooks
        or global_hooks._global_backward_hooks
    )
