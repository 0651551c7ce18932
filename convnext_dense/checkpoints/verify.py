"""Check loaded weights against a forward pass that uses the source's own names.

The reference uses neither the layouts nor our network: it spells the names out again, and computes
the papers' equations with ``torch.nn.functional``. So it finds a wrong rule or a wrong reshape,
unless the same mistake is made twice.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from convnext_dense.checkpoints.find_convnext import find_convnext
from convnext_dense.checkpoints.load import load_weights
from convnext_dense.checkpoints.network import build_network, check_network
from convnext_dense.checkpoints.source import read_source

EPS = 1e-6
# Names in each layout, in the order of _PARTS: stem, its norm, the norm and convolution of a
# downsampling, a block, and in a block the depthwise convolution, norm, first linear layer, GRN's
# scale and shift, second linear layer and layer scale; then the output norms. {s} is the stage, {b}
# the block, {e} 2 * stage, {o} 2 * stage + 1, {n} stage + 1. A dash means that there is none.
_META = """downsample_layers.0.0 downsample_layers.0.1 downsample_layers.{s}.0
    downsample_layers.{s}.1 stages.{s}.{b} dwconv norm pwconv1 grn.gamma grn.beta pwconv2 gamma
    norm{s}"""
_TIMM = """stem.0 stem.1 stages.{s}.downsample.0 stages.{s}.downsample.1
    stages.{s}.blocks.{b} conv_dw norm mlp.fc1 mlp.grn.weight mlp.grn.bias mlp.fc2 gamma -"""
_NAMES = {
    "meta": _META,
    "meta isotropic": "stem - - - blocks.{b} dwconv norm pwconv1 - - pwconv2 gamma -",
    "fcmae": """downsample_layers.0.0 downsample_layers.0.1 downsample_layers.{s}.0.ln
        downsample_layers.{s}.1 stages.{s}.{b} dwconv norm.ln pwconv1.linear grn.gamma grn.beta
        pwconv2.linear - -""",
    "timm": _TIMM,
    "timm features_only": _TIMM.replace("stem.", "stem_").replace("stages.", "stages_"),
    "torchvision": """features.0.0 features.0.1 features.{e}.0 features.{e}.1 features.{o}.{b}
        block.0 block.2 block.3 - - block.5 layer_scale -""",
    "transformers": """embeddings.patch_embeddings embeddings.layernorm
        encoder.stages.{s}.downsampling_layer.0 encoder.stages.{s}.downsampling_layer.1
        encoder.stages.{s}.layers.{b} dwconv layernorm pwconv1 grn.weight grn.bias pwconv2
        layer_scale_parameter hidden_states_norms.stage{n}""",
    "transformers DINOv3": """stages.0.downsample_layers.0 stages.0.downsample_layers.1
        stages.{s}.downsample_layers.0 stages.{s}.downsample_layers.1 stages.{s}.layers.{b}
        depthwise_conv layer_norm pointwise_conv1 - - pointwise_conv2 gamma -""",
    "mmpretrain": _META.replace("dwconv", "depthwise_conv").replace("pwconv", "pointwise_conv"),
}
_PARTS = (
    "stem", "stem_norm", "down_norm", "down", "block",
    "depthwise", "norm", "expand", "gamma", "beta", "project", "scale", "output_norm",
)  # fmt: skip


@dataclass(frozen=True)
class StageCheck:
    """Comparison of the features of one stage.

    Attributes:
        name: Name of the output.
        shape: Shape of the features.
        error: Largest difference, relative to the largest value of the reference.
    """

    name: str
    shape: tuple[int, ...]
    error: float


def verify(
    source: str | os.PathLike | Mapping,
    *,
    prefix: str | None = None,
    ema: bool = False,
    trust: bool = False,
    size: tuple[int, int] = (64, 96),
) -> list[StageCheck]:
    """Load weights, and compare our features with a forward pass that uses the source's own names.

    Args:
        source: As for :func:`~convnext_dense.checkpoints.load_weights`.
        prefix: Take only names with this prefix, such as ``backbone`` of a whole model.
        ema: Whether to take the moving averages.
        trust: Whether to unpickle a file that holds more than parameters and plain data.
        size: Height and width of the random image, at least 32 each.

    Returns:
        A comparison for every stage before its norm, and after it if the source has output norms.

    Raises:
        OSError: If the source could not be loaded.
        RuntimeError: If it is damaged, refused, incomplete or another network.
    """
    read = read_source(source, prefix=prefix, trust=trust, ema=ema)
    found = find_convnext(read.state, read.name)
    check_network(found, read.name)

    names = dict(zip(_PARTS, _NAMES[found.layout.name].split(), strict=True))
    inside = {
        name.removeprefix(found.prefix): value.float()
        for name, value in read.state.items()
        if name.startswith(found.prefix)
    }
    net = build_network(found, norm_out=True).eval()
    if found.other_parts:  # a whole model, of which only the backbone is compared
        prefix = ".".join(part.removesuffix(".") for part in (prefix, found.prefix) if part)
    load_weights(net, source, prefix, ema=ema, trust=trust)
    shape = (1, net.downsample_layers[0][0].in_channels, *size)
    image = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    ours: dict[str, Tensor] = {}
    for stage, blocks in enumerate(net.stages):
        blocks[-1].register_forward_hook(
            lambda module, args, output, name=f"stage {stage}": ours.update({name: output})
        )
    with torch.no_grad():
        ours |= {f"norm {stage}": output for stage, output in enumerate(net(image))}
        theirs = reference_features(inside, names, image)
    return [
        StageCheck(name, tuple(want.shape), _relative_error(ours[name], want))
        for name, want in theirs.items()
        if not name.startswith("norm ") or f"norm{name[5:]}.weight" in found.own
    ]


def reference_features(
    state: Mapping[str, Tensor], names: Mapping[str, str], image: Tensor
) -> dict[str, Tensor]:
    """Compute the features of every stage with a source's own names.

    Args:
        state: Parameters in float32, by the source's names without a prefix.
        names: Template of the name of each part.
        image: (N, channels, H, W).

    Returns:
        ``stage 0``, ... and, if there are output norms, ``norm 0``, ...
    """
    outputs: dict[str, Tensor] = {}
    stage = 0
    while True:
        at = dict(s=stage, e=2 * stage, o=2 * stage + 1, n=stage + 1)
        part = {name: template.format(b="{b}", **at) for name, template in names.items()}
        is_after_the_only_one = stage > 0 and names["down"] == "-"
        if (
            is_after_the_only_one
            or f"{part['block'].format(b=0)}.{part['norm']}.weight" not in state
        ):
            return outputs
        if stage == 0:
            image = _patches(state, part["stem"], image)
            if f"{part['stem_norm']}.weight" in state:
                image = _norm(state, part["stem_norm"], image)
        else:
            image = _patches(state, part["down"], _norm(state, part["down_norm"], image))
        block = 0
        while f"{(at_block := part['block'].format(b=block))}.{part['norm']}.weight" in state:
            image = image + _block(state, at_block, part, image)
            block += 1
        outputs[f"stage {stage}"] = image
        if f"{part['output_norm']}.weight" in state:
            outputs[f"norm {stage}"] = _norm(state, part["output_norm"], image)
        stage += 1


def _block(state: Mapping[str, Tensor], at: str, part: Mapping[str, str], x: Tensor) -> Tensor:
    y = _norm(state, f"{at}.{part['norm']}", _depthwise(state, f"{at}.{part['depthwise']}", x))
    y = F.gelu(_linear(state, f"{at}.{part['expand']}", y.movedim(1, -1)))
    if (scale := state.get(f"{at}.{part['gamma']}")) is not None:
        shift = state[f"{at}.{part['beta']}"].reshape(-1)
        response = y.pow(2).sum(dim=(1, 2), keepdim=True).sqrt()
        relative = response / (response.mean(dim=-1, keepdim=True) + EPS)
        y = scale.reshape(-1) * (y * relative) + shift + y
    y = _linear(state, f"{at}.{part['project']}", y)
    if (scale := state.get(f"{at}.{part['scale']}")) is not None:
        y = y * scale.reshape(-1)
    return y.movedim(-1, 1)


def _norm(state: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
    return F.layer_norm(x.movedim(1, -1), weight.shape, weight, bias, EPS).movedim(-1, 1)


def _linear(state: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    weight = state[f"{name}.weight"]
    return F.linear(x, weight.reshape(weight.shape[:2]), state[f"{name}.bias"].reshape(-1))


def _patches(state: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    if f"{name}.kernel" in state:
        return _sparse(state, name, x, stride=2, padding=0)
    weight = state[f"{name}.weight"]
    return F.conv2d(x, weight, state[f"{name}.bias"], stride=weight.shape[-1])


def _depthwise(state: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    if f"{name}.kernel" in state:
        return _sparse(state, name, x, stride=1, padding=3)
    weight = state[f"{name}.weight"]
    padding = weight.shape[-1] // 2
    return F.conv2d(x, weight, state[f"{name}.bias"], padding=padding, groups=x.shape[1])


def _sparse(state: Mapping[str, Tensor], name: str, x: Tensor, stride: int, padding: int) -> Tensor:
    """Compute MinkowskiEngine's convolution on a dense map.

    The kernel has a matrix, or a row of a depthwise one, for each offset; x is the slow axis.
    """
    kernel = state[f"{name}.kernel"]
    size = round(len(kernel) ** 0.5)
    x = F.pad(x, [padding] * 4).movedim(1, -1)
    height, width = ((n - size) // stride + 1 for n in x.shape[1:3])
    total = state[f"{name}.bias"].reshape(-1)
    for offset, weight in enumerate(kernel):
        right, down = divmod(offset, size)
        part = x[:, down::stride, right::stride][:, :height, :width]
        total = total + (part * weight if weight.ndim == 1 else part @ weight)
    return total.movedim(-1, 1)


def _relative_error(ours: Tensor, theirs: Tensor) -> float:
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()
