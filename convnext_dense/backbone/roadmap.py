"""From ResNet to ConvNeXt, one change after the other: ConvNeXt's paper, as code.

Read the steps from the top: each network is the one before it with one thing changed. What a step
says is built by :class:`~convnext_dense.backbone.resnet_to_convnext.ResNetToConvNeXt`.

Source: arXiv 2201.03545, section 2, figures 2 to 4, tables 10 and 11. The authors published no code
of the steps; ``docs/roadmap.md`` says how their text is read here. The multiply-adds of every step
are those that the tables print.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from convnext_dense.text import nearest_first

# The two roads of the paper: from ResNet-50 to ConvNeXt-T, and from ResNet-200 to ConvNeXt-B.
REGIMES = ("tiny", "base")


@dataclass(frozen=True)
class Step:
    """A network between ResNet and ConvNeXt.

    Attributes:
        name: Its name in configs and on command lines.
        change: What makes it differ from the network before it; for each regime if that is not the
            same.
        before: The name of that network; empty for the first.
        section: The paper's heading for it.
        depths: Blocks in each stage, for each regime.
        width: Channels that the stages are multiples of, for each regime.
        patchify_stem: Whether the stem is one 4x4 convolution of stride 4, instead of a 7x7
            convolution and a max pool of stride 2 each.
        depthwise: Whether the convolution that looks around has a group for each channel.
        inverted: Whether a block is wide inside and narrow outside, by a factor of 4.
        depthwise_first: Whether the convolution that looks around comes before both 1x1.
        kernel_size: Its size.
        activation: ``relu`` or ``gelu``.
        one_activation: Whether a block has only the activation between its 1x1 convolutions, and
            the stem has none. Otherwise there is one after each convolution's norm, the last of a
            block after the sum with the shortcut.
        norm: ``batch`` or ``layer``.
        one_norm: Whether a block has only the norm before its first 1x1 convolution, and stem and
            shortcuts have none. Otherwise there is one after each convolution.
        is_convnext: Whether this is ConvNeXt, with a norm and a 2x2 convolution of stride 2 between
            its stages, a norm after the stem, and norms on the outputs.
    """

    name: str
    change: str | Mapping[str, str]
    before: str
    section: str
    depths: Mapping[str, tuple[int, ...]]
    width: Mapping[str, int]
    patchify_stem: bool = False
    depthwise: bool = False
    inverted: bool = False
    depthwise_first: bool = False
    kernel_size: int = 3
    activation: str = "relu"
    one_activation: bool = False
    norm: str = "batch"
    one_norm: bool = False
    is_convnext: bool = False

    def then(self, name: str, change: str | Mapping[str, str], **changes: Any) -> Step:
        """Return the step that makes these changes to this one."""
        return replace(self, name=name, change=change, before=self.name, **changes)

    def what_changes(self, regime: str) -> str:
        """Say what makes it differ from the network before it."""
        return self.change if isinstance(self.change, str) else self.change[regime]

    @property
    def is_aside(self) -> bool:
        """Whether the paper tried it and did not keep it."""
        return self.name in ASIDE

    def channels(self, regime: str) -> tuple[int, ...]:
        """Return the channels of each stage's output."""
        factor = 1 if self.inverted else 4
        return tuple(factor * self.width[regime] * 2**stage for stage in range(4))


RESNET = Step(
    "resnet",
    dict(
        tiny="ResNet-50, with the stride in the 3x3 convolution",
        base="ResNet-200, with the stride in the 3x3 convolution",
    ),
    before="",
    section="macro design",
    depths=dict(tiny=(3, 4, 6, 3), base=(3, 24, 36, 3)),
    width=dict(tiny=64, base=64),
)
STAGE_RATIO = RESNET.then(
    "stage_ratio",
    dict(
        tiny="blocks per stage in Swin-T's ratio: 3, 4, 6, 3 -> 3, 3, 9, 3",
        base="blocks per stage: 3, 24, 36, 3 -> 3, 3, 27, 3; width 64 -> 84",
    ),
    depths=dict(tiny=(3, 3, 9, 3), base=(3, 3, 27, 3)),
    width=dict(tiny=64, base=84),
)
PATCHIFY_STEM = STAGE_RATIO.then(
    "patchify_stem",
    "the stem is a 4x4 convolution of stride 4, without a max pool",
    patchify_stem=True,
)
DEPTHWISE_CONV = PATCHIFY_STEM.then(
    "depthwise_conv",
    "each 3x3 convolution has a group for each channel",
    section="ResNeXt-ify",
    depthwise=True,
)
INCREASE_WIDTH = DEPTHWISE_CONV.then(
    "increase_width",
    dict(tiny="the width of Swin-T: 64 -> 96", base="the width of Swin-B: 84 -> 128"),
    width=dict(tiny=96, base=128),
)
INVERTED_BOTTLENECK = INCREASE_WIDTH.then(
    "inverted_bottleneck",
    "a block is wide inside and narrow outside, as in a transformer's MLP",
    section="inverted bottleneck",
    inverted=True,
)
MOVE_UP_DEPTHWISE = INVERTED_BOTTLENECK.then(
    "move_up_depthwise",
    "the depthwise convolution comes first, as attention does, on the narrow input",
    section="large kernels",
    depthwise_first=True,
)
KERNEL_5 = MOVE_UP_DEPTHWISE.then("kernel_5", "depthwise kernels of 5x5", kernel_size=5)
KERNEL_7 = KERNEL_5.then("kernel_7", "depthwise kernels of 7x7, as Swin's windows", kernel_size=7)
# Two steps aside, which the paper did not keep.
KERNEL_9 = KERNEL_7.then("kernel_9", "aside: depthwise kernels of 9x9", kernel_size=9)
KERNEL_11 = KERNEL_9.then("kernel_11", "aside: depthwise kernels of 11x11", kernel_size=11)
GELU = KERNEL_7.then(
    "gelu", "from 7x7 on: GELU instead of ReLU", section="micro design", activation="gelu"
)
FEWER_ACTIVATIONS = GELU.then(
    "fewer_activations",
    "a single activation in a block, between its 1x1 convolutions",
    one_activation=True,
)
FEWER_NORMS = FEWER_ACTIVATIONS.then(
    "fewer_norms", "a single norm in a block, before its first 1x1 convolution", one_norm=True
)
LAYER_NORM = FEWER_NORMS.then("layer_norm", "layer norm instead of batch norm", norm="layer")
SEPARATE_DOWNSAMPLING = LAYER_NORM.then(
    "separate_downsampling",
    "a norm and a 2x2 convolution between stages, norms after stem and last stage: ConvNeXt",
    is_convnext=True,
)
STEPS: dict[str, Step] = {
    step.name: step
    for step in (
        RESNET,
        STAGE_RATIO,
        PATCHIFY_STEM,
        DEPTHWISE_CONV,
        INCREASE_WIDTH,
        INVERTED_BOTTLENECK,
        MOVE_UP_DEPTHWISE,
        KERNEL_5,
        KERNEL_7,
        KERNEL_9,
        KERNEL_11,
        GELU,
        FEWER_ACTIVATIONS,
        FEWER_NORMS,
        LAYER_NORM,
        SEPARATE_DOWNSAMPLING,
    )
}

# What the paper tried and did not keep.
ASIDE = ("kernel_9", "kernel_11")
FIRST, LAST = "resnet", "separate_downsampling"
# What options and messages begin the name of a step with.
PREFIX = "roadmap:"


def find_step(name: str) -> Step:
    """Look a step up.

    Raises:
        ValueError: If there is no such step; the message lists them, the nearest first.
    """
    if not isinstance(name, str) or name not in STEPS:
        known = ", ".join(nearest_first(str(name), STEPS))
        raise ValueError(
            f"there is no step {name!r} from ResNet to ConvNeXt, choose one of {known}"
        )
    return STEPS[name]


def check_regime(regime: str) -> None:
    """Refuse a regime that there is not.

    Raises:
        ValueError: If it is none of :data:`REGIMES`.
    """
    if regime not in REGIMES:
        raise ValueError(
            f"the regime is tiny (from ResNet-50 to ConvNeXt-T) or base (from ResNet-200 to "
            f"ConvNeXt-B), got {regime!r}"
        )


def find_network(name: str) -> tuple[str, str]:
    """Return step and regime of ``roadmap:STEP`` or ``roadmap:STEP:REGIME``, as options name them.

    Raises:
        ValueError: If there is no such step or regime.

    Example:
        >>> find_network("roadmap:gelu"), find_network("roadmap:gelu:base")
        (('gelu', 'tiny'), ('gelu', 'base'))
    """
    step, _, regime = name.removeprefix(PREFIX).partition(":")
    find_step(step)
    regime = regime or REGIMES[0]
    check_regime(regime)
    return step, regime


def network_name(step: str, regime: str) -> str:
    """Return the name that :func:`find_network` reads.

    Example:
        >>> network_name("gelu", "tiny"), network_name("gelu", "base")
        ('roadmap:gelu', 'roadmap:gelu:base')
    """
    return f"{PREFIX}{step}" if regime == REGIMES[0] else f"{PREFIX}{step}:{regime}"
