"""Weights in the layout of a fast path, kept for as long as the weights do not change.

Under autocast each forward pass would cast every weight, and each product would lay it out anew.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.optim.optimizer import Optimizer, register_optimizer_step_post_hook

# What was packed under another object than these is no longer valid. The second changes at every
# step of an optimizer, and does not concern weights that are frozen.
_generation = object()
_step = object()
# The storages of frozen weights that were packed.
_frozen_storages: set[int] = set()


def forget_packed_weights() -> None:
    """Let every network lay its weights out anew, after a write that torch does not count.

    The fast paths keep weights in a layout of their own, and notice a change by what torch counts:
    what is written to a parameter under ``torch.no_grad()``, loaded into it or put in its place.
    torch does not count what is written in place through ``parameter.data``, NumPy, DLPack or the
    parameter's storage. Call this after such a write; it is cheap.

    There is no need to after an optimizer's step, nor where the network's ``train()`` or ``eval()``
    follows: these forget as well.

    Example:
        >>> import torch
        >>> from convnext_dense import ConvNeXt
        >>> net = ConvNeXt("atto").eval()
        >>> for parameter in net.parameters():
        ...     _ = parameter.data.mul_(0.5)
        >>> forget_packed_weights()
    """
    global _generation
    _generation = object()
    _frozen_storages.clear()


class PackedWeights:
    """The weights of one block in another layout, each kept until it changes.

    It belongs to the block rather than to the tensors: torch cannot swap tensors that something
    refers to weakly (``torch.utils.swap_tensors``). Copies, pickled ones too, are empty, and their
    weights are not frozen: an average of a network is written after every step.

    Args:
        frozen: Whether no step of an optimizer changes the weights while they need no gradient.
    """

    def __init__(self, frozen: bool = False) -> None:
        self._frozen = frozen
        self._entries: dict[str, _Entry] = {}

    def get(self, name: str, weight: Tensor, pack: Callable[[Tensor], Tensor]) -> Tensor | None:
        """Return a weight in its other layout, or None where it is to be used as it is.

        A weight is packed when it is seen for the second time without a change, so that weights
        which change at every step are not packed in vain. Never packed are tensors that were made
        in inference mode, for which torch counts nothing, and those in shared memory, since each
        process counts its own writes alone.

        Args:
            name: One for each weight of the block.
            weight: The weight.
            pack: Lays the weight out; its result must not share memory with the weight.
        """
        storage = weight.untyped_storage()
        if weight.is_inference() or storage.is_shared():
            self._entries.pop(name, None)
            return None
        _forget_after_steps()
        is_frozen = self._frozen and not weight.requires_grad
        state = (
            _generation,
            None if is_frozen else _step,
            weight._version,
            storage._cdata,
            weight.data_ptr(),
            weight.stride(),
        )
        entry = self._entries.get(name)
        if entry is None or entry.state != state:
            self._entries[name] = _Entry(state, StorageWeakRef(storage))
            return None
        if entry.packed is None:
            entry.packed = pack(weight.detach())
            if is_frozen:
                _frozen_storages.add(storage._cdata)
        return entry.packed

    def clear(self) -> None:
        """Forget the weights, and give their memory back."""
        self._entries.clear()

    def __reduce__(self) -> tuple[type[PackedWeights], tuple[()]]:
        return PackedWeights, ()


@dataclass
class _Entry:
    # What changes with the weight's values, as far as torch tells.
    state: tuple[object, ...]
    # While this is held, no other storage can come to lie at the same address.
    storage: StorageWeakRef
    packed: Tensor | None = None


@functools.cache
def _forget_after_steps() -> None:
    """Forget all weights but frozen ones after each step of any optimizer, from now on.

    torch does not count what its fused optimizers write (seen in 2.13), and some other packages'
    optimizers write through ``.data``.
    """
    register_optimizer_step_post_hook(_forget_after)


def _forget_after(optimizer: Optimizer, *step: object) -> None:
    global _step
    _step = object()
    if not _frozen_storages:
        return
    weights = (weight for group in optimizer.param_groups for weight in group["params"])
    if any(w.requires_grad and w.untyped_storage()._cdata in _frozen_storages for w in weights):
        forget_packed_weights()  # one was frozen before, and may be frozen again
