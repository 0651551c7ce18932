"""Build the ConvNeXts of other libraries as their users would for dense prediction.

All return the maps of their stages: with a norm after each if the library has these norms for
dense prediction, otherwise raw. Beside the isotropic archs stands a plain vision transformer of
equal size too, as in table 2 of the paper.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from torch import Tensor, nn

from convnext_dense.backbone.archs import ARCHS
from convnext_dense.benchmark.peers.meta import MetaConvNeXt
from convnext_dense.benchmark.peers.torchvision_stand_in import import_without_torchvision
from convnext_dense.benchmark.peers.vit import SIZES, VisionTransformer
from convnext_dense.checkpoints.layouts import Layout
from convnext_dense.checkpoints.layouts.meta import META
from convnext_dense.checkpoints.layouts.mmpretrain import MMPRETRAIN
from convnext_dense.checkpoints.layouts.timm import TIMM_FEATURES
from convnext_dense.checkpoints.layouts.torchvision import TORCHVISION
from convnext_dense.checkpoints.layouts.transformers import TRANSFORMERS
from convnext_dense.checkpoints.report import is_output_norm

STAGES = range(4)
STAGED = tuple(name for name, arch in ARCHS.items() if not arch.isotropic)


@dataclass(frozen=True)
class Peer:
    """One library's ConvNeXt, or another network of its size.

    Attributes:
        build: Builds the network from the name of one of our archs and the drop path rate.
        layout: The names of its parameters; None for another network, which has random weights of
            its own.
        normed: Whether there is a norm after each output.
        archs: The archs that the library has.
        package: The package to import; None for the peer in this package.
        unpack: Converts the network's result to the maps.
    """

    build: Callable[[str, float], nn.Module]
    layout: Layout | None
    normed: bool
    archs: Collection[str] = STAGED
    package: str | None = None
    unpack: Callable[[Any], tuple[Tensor, ...]] = tuple

    def load(self, arch: str, weights: Mapping[str, Tensor], drop_path: float = 0.0) -> nn.Module:
        """Build the network with given weights.

        Args:
            arch: A name in ``archs``.
            weights: By our names, output norms included.
            drop_path: Stochastic depth of the last block.
        """
        own = {n: v for n, v in weights.items() if self.normed or not is_output_norm(n)}
        network = self.build(arch, drop_path)
        if self.layout is None:
            return network
        # Files of a whole model have a prefix, a network has none.
        prefix = self.layout.prefix(ARCHS[arch], own)
        written = self.layout.write(own, ARCHS[arch])
        network.load_state_dict({n.removeprefix(prefix): value for n, value in written.items()})
        return network


def _meta(arch: str, drop_path: float) -> nn.Module:
    return MetaConvNeXt(ARCHS[arch], drop_path)


def _timm(arch: str, drop_path: float) -> nn.Module:
    timm = import_without_torchvision("timm")
    name = f"convnext{arch}" if arch.startswith("v2_") else f"convnext_{arch}"
    return timm.create_model(name, pretrained=False, features_only=True, drop_path_rate=drop_path)


def _transformers(arch: str, drop_path: float) -> nn.Module:
    import transformers

    own = ARCHS[arch]
    kind = "ConvNextV2" if own.grn else "ConvNext"
    config = getattr(transformers, f"{kind}Config")(
        hidden_sizes=list(own.channels),
        depths=list(own.depths),
        drop_path_rate=drop_path,
        out_features=[f"stage{stage + 1}" for stage in STAGES],
    )
    return getattr(transformers, f"{kind}Backbone")(config)


def _torchvision(arch: str, drop_path: float) -> nn.Module:
    from torchvision import models
    from torchvision.models.feature_extraction import create_feature_extractor

    network = getattr(models, f"convnext_{arch}")(stochastic_depth_prob=drop_path)
    nodes = {f"features.{2 * stage + 1}": str(stage) for stage in STAGES}
    return create_feature_extractor(network, nodes)


def _mmpretrain(arch: str, drop_path: float) -> nn.Module:
    own = ARCHS[arch]
    return import_without_torchvision("mmpretrain.models.backbones").ConvNeXt(
        dict(depths=list(own.depths), channels=list(own.channels)),
        use_grn=own.grn,
        layer_scale_init_value=0.0 if own.grn else 1e-6,
        drop_path_rate=drop_path,
        out_indices=list(STAGES),
        frozen_stages=-1,
        gap_before_final_norm=False,
    )


PEERS: dict[str, Peer] = {
    "meta": Peer(_meta, META, normed=True, archs=tuple(ARCHS)),
    "timm": Peer(_timm, TIMM_FEATURES, normed=False, package="timm"),
    "transformers": Peer(
        _transformers,
        TRANSFORMERS,
        normed=True,
        package="transformers",
        unpack=lambda output: tuple(output.feature_maps),
    ),
    "torchvision": Peer(
        _torchvision,
        TORCHVISION,
        normed=False,
        archs=("tiny", "small", "base", "large"),
        package="torchvision",
        unpack=lambda output: tuple(output.values()),
    ),
    "mmpretrain": Peer(_mmpretrain, MMPRETRAIN, normed=True, package="mmpretrain"),
    "vit": Peer(VisionTransformer, None, normed=True, archs=tuple(SIZES), package="timm"),
}


def reason_to_skip(name: str, arch: str) -> str | None:
    """Return why a peer cannot be measured with an arch, or None."""
    peer = PEERS[name]
    if arch not in peer.archs:
        return f"not offered: {name} has {', '.join(peer.archs)}"
    if peer.package and find_spec(peer.package) is None:
        return f"not installed: pip install {peer.package}"
    return None
