"""Train a model: the run, its hooks, its optimizer constructor and its checkpoint storage."""

from typing import TYPE_CHECKING

from convnext_dense.lazy import load_when_used

if TYPE_CHECKING:
    from convnext_dense.checkpoints.latest import latest_checkpoint
    from convnext_dense.training.atomic_backend import AtomicLocalBackend
    from convnext_dense.training.checkpoint_guards import (
        RunIdentityHook,
        StrictLoadHook,
        TrainingStateHook,
    )
    from convnext_dense.training.checkpoint_hook import DurableCheckpointHook, OwnBestHook
    from convnext_dense.training.data_stream import ReproducibleStreamHook
    from convnext_dense.training.due_validation import DueValidationHook
    from convnext_dense.training.finite_values import FiniteValuesHook
    from convnext_dense.training.interrupt import how_to_resume, sigterm_as_interrupt
    from convnext_dense.training.optim_wrapper_constructor import ConvNeXtOptimWrapperConstructor

__all__ = [
    "AtomicLocalBackend",
    "ConvNeXtOptimWrapperConstructor",
    "DueValidationHook",
    "DurableCheckpointHook",
    "FiniteValuesHook",
    "OwnBestHook",
    "ReproducibleStreamHook",
    "RunIdentityHook",
    "StrictLoadHook",
    "TrainingStateHook",
    "how_to_resume",
    "latest_checkpoint",
    "sigterm_as_interrupt",
]
__getattr__, __dir__ = load_when_used(
    __name__,
    {
        "AtomicLocalBackend": ".atomic_backend",
        "ConvNeXtOptimWrapperConstructor": ".optim_wrapper_constructor",
        "DueValidationHook": ".due_validation",
        "DurableCheckpointHook": ".checkpoint_hook",
        "FiniteValuesHook": ".finite_values",
        "OwnBestHook": ".checkpoint_hook",
        "ReproducibleStreamHook": ".data_stream",
        "RunIdentityHook": ".checkpoint_guards",
        "StrictLoadHook": ".checkpoint_guards",
        "TrainingStateHook": ".checkpoint_guards",
        "how_to_resume": ".interrupt",
        "latest_checkpoint": "..checkpoints.latest",
        "sigterm_as_interrupt": ".interrupt",
    },
)
