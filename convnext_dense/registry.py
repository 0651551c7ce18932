"""Registries of scope ``convnext_dense``, children of mmengine's root registries.

mmengine imports ``<scope>.registry`` when a config names the scope (``convnext_dense.ConvNeXt`` or
``default_scope = 'convnext_dense'``), so this module must exist under this name.
"""

from mmengine.registry import HOOKS as ROOT_HOOKS
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS as ROOT_OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.registry import Registry

MODELS = Registry(
    "model", parent=ROOT_MODELS, locations=["convnext_dense.backbone", "convnext_dense.swap"]
)
HOOKS = Registry("hook", parent=ROOT_HOOKS, locations=["convnext_dense.training"])
OPTIM_WRAPPER_CONSTRUCTORS = Registry(
    "optimizer wrapper constructor",
    parent=ROOT_OPTIM_WRAPPER_CONSTRUCTORS,
    locations=["convnext_dense.training"],
)
