"""Let a model of transformers read the maps of a backbone of ours.

transformers builds a model's backbone by the class of its config. :class:`Maps` is registered there
as a backbone without parameters; it passes on what ours computes, and does not own it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn
from transformers import AutoBackbone, AutoConfig, PreTrainedConfig, PreTrainedModel
from transformers.backbone_utils import BackboneConfigMixin, BackboneMixin
from transformers.modeling_outputs import BackboneOutput

Check = Callable[[Sequence[Tensor]], None]


class MapsConfig(BackboneConfigMixin, PreTrainedConfig):
    """The maps of a backbone.

    Args:
        channels: Channels of each map.
        strides: Stride of each map to the image.
        kwargs: Further keys of every config of transformers.
    """

    model_type = "convnext_dense_maps"

    def __init__(
        self, channels: Sequence[int] = (), strides: Sequence[int] = (), **kwargs: object
    ) -> None:
        self.channels = list(channels)
        self.strides = list(strides)
        self.stage_names = [f"map{index}" for index in range(len(self.channels))]
        self._out_features = list(self.stage_names)
        self._out_indices = list(range(len(self.stage_names)))
        super().__init__(**kwargs)


class Maps(BackboneMixin, PreTrainedModel):
    """Pass on the maps of another module, where transformers expects a backbone."""

    config_class = MapsConfig
    main_input_name = "pixel_values"
    has_attentions = False

    def __init__(self, config: MapsConfig) -> None:
        super().__init__(config)
        self.num_features = config.channels
        # A tuple, since the backbone and its parameters belong to the model around the head.
        self.source: tuple[nn.Module, ...] = ()
        self.check: Check | None = None
        self.post_init()

    def forward(self, pixel_values: Tensor, **kwargs: object) -> BackboneOutput:
        """Return the maps of a batch of images (N, C, H, W)."""
        (backbone,) = self.source
        maps = tuple(backbone(pixel_values))
        if self.check:
            self.check(maps)
        return BackboneOutput(feature_maps=maps)


AutoConfig.register(MapsConfig.model_type, MapsConfig)
AutoBackbone.register(MapsConfig, Maps)


def put_backbone(model: PreTrainedModel, backbone: nn.Module, check: Check | None = None) -> None:
    """Put a backbone under a model that was built with :class:`MapsConfig`.

    Args:
        model: The model.
        backbone: What computes the maps.
        check: Called with the maps, before the head reads them.
    """
    (maps,) = (module for module in model.modules() if isinstance(module, Maps))
    maps.source = (backbone,)
    maps.check = check
