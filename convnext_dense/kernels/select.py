"""Which kernels run: the fastest that can, for the device, the type and the mode at hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.modules import module as global_hooks

from convnext_dense.kernels import onednn, triton
from convnext_dense.kernels.autocast import autocast_dtype, compute_dtype

# How many of its blocks are open. For all threads: autograd runs CUDA's backward passes, with what
# they recompute, in threads of its own, and Predictor the forward ones of several pictures.
_plain_torch = 0
# Subclasses of tensors have ways of their own.
_PLAIN = (Tensor, nn.Parameter)


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
    global _plain_torch
    _plain_torch += 1
    try:
        yield
    finally:
        _plain_torch -= 1


def fast_path(x: Tensor, *parameters: Tensor | None) -> ModuleType | None:
    """Return the module whose functions compute fastest here, or None for plain torch.

    Args:
        x: What a part of the network is given, (N, C, H, W).
        parameters: The parameters of that part; None for one that it was built without, which no
            fast path knows.
    """
    if is_transformed() or _plain_torch or is_every_call_hooked():
        return None
    device = x.device
    if device.type not in ("cpu", "cuda") or x.numel() == 0 or type(x) not in _PLAIN:
        return None
    autocast = autocast_dtype(device.type)
    for p in parameters:
        if p is None or type(p) not in _PLAIN or p.device != device:
            return None
        # Plain torch refuses mixed types with its own message.
        if autocast is None and p.dtype != x.dtype:
            return None
    dtype = compute_dtype(x)
    if device.type == "cpu" and onednn.available(dtype):
        return onednn if onednn.is_worthwhile(x, dtype) else None
    if device.type == "cuda" and triton.available(device, dtype):
        # Imports Triton, which is not there on every machine.
        from convnext_dense.kernels.triton import operators

        return operators
    return None


def is_transformed() -> bool:
    """Return whether something follows torch's operators one by one: a compiler, vmap, a counter.

    It would not know the fast paths' operators, and no shape may depend on chance before it.
    """
    return (
        torch.compiler.is_compiling()
        or torch.jit.is_tracing()
        or torch._C._are_functorch_transforms_active()
        or torch._C._len_torch_dispatch_stack() > 0
        or forward_ad._current_level >= 0
    )


def is_untouched(module: nn.Module, *kinds: type[nn.Module]) -> bool:
    """Return whether a module is of one of these very classes and nobody listens to its calls.

    A layer that was replaced (adapters, quantisation), reparametrised or hooked must be called
    itself. :func:`is_every_call_hooked` sees hooks on all modules at once.
    """
    return (
        type(module) in kinds
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
