"""Register our classes, in registries of scope ``convnext_dense`` and in mmengine's root.

mmengine imports ``<scope>.registry`` when a config names the scope (``convnext_dense.ConvNeXt`` or
``default_scope = 'convnext_dense'``), so this module must have this name.

All classes are registered here, not where they are defined: an entry imports its class when it is
built, so that registering costs nothing. Each is in mmengine's root registry, so that its bare name
works in the scopes of mmdet and mmseg, which do not search each other. It is in our own registry
too, so that ``convnext_dense.ConvNeXt`` always means ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from mmengine import registry as root
from mmengine.registry import Registry

from convnext_dense.patches import enable

# Stated, since mmengine would search all loaded modules to infer it.
SCOPE = "convnext_dense"
MODELS = Registry("model", scope=SCOPE, parent=root.MODELS)
HOOKS = Registry("hook", scope=SCOPE, parent=root.HOOKS)
OPTIM_WRAPPER_CONSTRUCTORS = Registry(
    "optimizer wrapper constructor", scope=SCOPE, parent=root.OPTIM_WRAPPER_CONSTRUCTORS
)
OPTIM_WRAPPERS = Registry("optim wrapper", scope=SCOPE, parent=root.OPTIM_WRAPPERS)
WEIGHT_INITIALIZERS = Registry("weight initializer", scope=SCOPE, parent=root.WEIGHT_INITIALIZERS)


@dataclass(frozen=True)
class LazyClass:
    """An entry of a registry, which imports its class when it is called.

    Attributes:
        module: Module of the class, relative to ``convnext_dense``.
        name: Name of the class.
        starts_run: Whether building it starts a run: see :func:`.patches.enable`.
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
    """Return the class of a registry's entry; entries of other packages are returned unchanged."""
    return entry.load() if isinstance(entry, LazyClass) else entry


def _register(registry: Registry, module: str, *names: str) -> None:
    for name in names:
        entry = LazyClass(module, name)
        for one in (registry, registry.parent):
            one.register_module(name=name, module=entry)


_register(MODELS, "backbone.convnext", "ConvNeXt")
_register(MODELS, "backbone.resnet_to_convnext", "ResNetToConvNeXt")
_register(MODELS, "evaluation.exported_model", "ExportedModel")
_register(MODELS, "heads.linear_head", "LinearHead")
_register(MODELS, "heads.simple_feature_pyramid", "SimpleFeaturePyramid")
_register(MODELS, "heads.transformers.detector", "TransformersDetector")
_register(MODELS, "heads.transformers.published", "TransformersBackbone")
_register(MODELS, "heads.transformers.segmentor", "TransformersSegmentor")
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
_register(HOOKS, "evaluation.limited_truth", "LimitedTruthHook")
_register(HOOKS, "training.checkpoint_hook", "DurableCheckpointHook", "OwnBestHook")
_register(HOOKS, "training.data_stream", "ReproducibleStreamHook")
_register(HOOKS, "training.due_validation", "DueValidationHook")
_register(HOOKS, "training.early_stop", "StopWithoutBestHook")
_register(HOOKS, "training.finite_values", "FiniteValuesHook")
_register(HOOKS, "training.stop_augmenting", "StopAugmentingHook")
_register(HOOKS, "training.switch_at_iter", "SwitchAtIterHook")
_register(WEIGHT_INITIALIZERS, "checkpoints.transformers_head", "TransformersWeights")
# Only the backbone uses it; configs write `type='Pretrained'`.
WEIGHT_INITIALIZERS.register_module(
    name="PublishedWeights",
    module=LazyClass("checkpoints.load", "PublishedWeights", starts_run=False),
)
