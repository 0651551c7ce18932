"""What configs name of ours: registries of scope ``convnext_dense``, and the root's entries.

mmengine imports ``<scope>.registry`` when a config names the scope (``convnext_dense.ConvNeXt`` or
``default_scope = 'convnext_dense'``), so this module must exist under this name.

All names stand here, and none where its class is defined: an entry imports the class when it is
built, so that registering costs nothing. Each stands in mmengine's root registry, since siblings
are not searched: so the bare name builds in the scopes of mmdet and mmseg. And in the child
registry, so that ``convnext_dense.ConvNeXt`` is never another's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from mmengine.registry import HOOKS as ROOT_HOOKS
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS as ROOT_OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.registry import OPTIM_WRAPPERS as ROOT_OPTIM_WRAPPERS
from mmengine.registry import WEIGHT_INITIALIZERS as ROOT_WEIGHT_INITIALIZERS
from mmengine.registry import Registry

from convnext_dense.patches import enable

# Stated, since to infer it mmengine looks through every module that is loaded.
SCOPE = "convnext_dense"
MODELS = Registry("model", scope=SCOPE, parent=ROOT_MODELS)
HOOKS = Registry("hook", scope=SCOPE, parent=ROOT_HOOKS)
OPTIM_WRAPPER_CONSTRUCTORS = Registry(
    "optimizer wrapper constructor", scope=SCOPE, parent=ROOT_OPTIM_WRAPPER_CONSTRUCTORS
)
OPTIM_WRAPPERS = Registry("optim wrapper", scope=SCOPE, parent=ROOT_OPTIM_WRAPPERS)
WEIGHT_INITIALIZERS = Registry("weight initializer", scope=SCOPE, parent=ROOT_WEIGHT_INITIALIZERS)


@dataclass(frozen=True)
class LazyClass:
    """An entry of a registry: called as a class of ours would be, which it imports then.

    Attributes:
        module: Where the class is defined, below ``convnext_dense``.
        name: The class.
        starts_run: Whether building it by a registry begins a run: see :func:`.patches.enable`.
    """

    module: str
    name: str
    starts_run: bool = True

    def load(self) -> type:
        """Import the class."""
        return getattr(import_module(f"{SCOPE}.{self.module}"), self.name)

    def __call__(self, *args: object, **kwargs: object) -> object:
        """Build an instance."""
        if self.starts_run:
            enable()
        return self.load()(*args, **kwargs)


def class_of(entry: Callable) -> Callable:
    """Return the class behind an entry of a registry; what is not ours comes back as it is."""
    return entry.load() if isinstance(entry, LazyClass) else entry


def _register(registry: Registry, module: str, *names: str) -> None:
    for name in names:
        entry = LazyClass(module, name)
        for one in (registry, registry.parent):
            one.register_module(name=name, module=entry)


_register(MODELS, "backbone.convnext", "ConvNeXt")
_register(MODELS, "swap.adapter", "PyramidAdapter")
_register(
    OPTIM_WRAPPER_CONSTRUCTORS,
    "training.optim_wrapper_constructor",
    "ConvNeXtOptimWrapperConstructor",
)
_register(OPTIM_WRAPPERS, "upstream.cpu_amp", "CpuAmpOptimWrapper")
_register(
    HOOKS,
    "training.checkpoint_guards",
    "RunIdentityHook",
    "StrictLoadHook",
    "TrainingStateHook",
)
_register(HOOKS, "training.checkpoint_hook", "DurableCheckpointHook", "OwnBestHook")
_register(HOOKS, "training.data_stream", "ReproducibleStreamHook")
_register(HOOKS, "training.due_validation", "DueValidationHook")
_register(HOOKS, "training.finite_values", "FiniteValuesHook")
# For the backbone's own use; a config writes `type='Pretrained'`.
WEIGHT_INITIALIZERS.register_module(
    name="PublishedWeights",
    module=LazyClass("checkpoints.load", "PublishedWeights", starts_run=False),
)
