"""The steps from ResNet to ConvNeXt in a table: what changes, what it costs, what it brings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from rich import box
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode

from convnext_dense.backbone import ResNetToConvNeXt
from convnext_dense.backbone.roadmap import STEPS
from convnext_dense.benchmark.timing import Spread, alternate
from convnext_dense.kernels.switched_off import device_name
from convnext_dense.text import many
from convnext_dense.zoo.roadmap import OLD_RECIPE, ROADMAP, SWIN, PublishedStep

# The network's input in the published tables, and the classifier that they count.
IMAGE, CLASSES = 224, 1000
# The least seconds of a sample of a network's speed.
SAMPLE = 0.2
OFF = "(*)"


@dataclass(frozen=True)
class Row:
    """A step.

    Attributes:
        step: Its name.
        change: What makes it differ from the network before it.
        parameters: Their number, with those of the classifier.
        multiply_adds: Those of convolutions and classifier for one image of 224x224.
        published: What the paper prints of it.
        speed: Images per second here, or None where it was not measured.
    """

    step: str
    change: str
    parameters: int
    multiply_adds: int
    published: PublishedStep
    speed: Spread | None = None

    @property
    def accuracy(self) -> str:
        """The published top-1 accuracy with its deviation."""
        deviation = self.published.deviation
        spread = "" if deviation is None else f" ± {deviation:.2f}"
        return f"{self.published.top1:.2f}{spread}"

    @property
    def counted(self) -> str:
        """The multiply-adds in billions, as the paper rounds them."""
        return f"{self.multiply_adds / 1e9:.2f}"

    @property
    def printed(self) -> str:
        """The multiply-adds that the paper prints."""
        return f"{self.published.gflops:.2f}" + f" {OFF}" * self.published.is_off


def count_step(step: str, regime: str) -> Row:
    """Count what a step costs, and find what is published of it.

    Example:
        >>> row = count_step("patchify_stem", "tiny")
        >>> row.counted, row.printed, row.accuracy
        ('4.42', '4.42', '79.51 ± 0.18')
    """
    with torch.device("meta"):
        network = ResNetToConvNeXt(step, regime, out_indices=(3,)).eval()
        image = torch.empty(1, 3, IMAGE, IMAGE)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(image)
    width = network.out_channels[-1]
    return Row(
        step=step,
        change=STEPS[step].what_changes(regime),
        parameters=sum(p.numel() for p in network.parameters()) + (width + 1) * CLASSES,
        multiply_adds=counter.get_total_flops() // 2 + width * CLASSES,
        published=ROADMAP[regime][step],
    )


def measure_steps(
    steps: Sequence[str], regime: str, device: torch.device, batch: int, rounds: int
) -> dict[str, Spread]:
    """Measure the images per second of steps in turns, on random images of 224x224.

    The networks have random weights, are in eval mode, and compute all four maps in float32,
    channels-last.

    Args:
        steps: The steps; all their networks are in memory at once.
        regime: ``tiny`` or ``base``.
        device: The device.
        batch: The number of images.
        rounds: Samples of each network.
    """
    layout = torch.channels_last
    images = torch.randn(batch, 3, IMAGE, IMAGE, device=device).to(memory_format=layout)
    functions = {}
    for step in steps:
        network = ResNetToConvNeXt(step, regime).eval().to(device, memory_format=layout)
        functions[step] = partial(network, images)
    with torch.inference_mode():
        for warm_up in (*functions.values(), *functions.values()):
            warm_up()
        samples = alternate(functions, device, rounds, SAMPLE)
    return {
        step: Spread.of([batch / second for second in seconds]) for step, seconds in samples.items()
    }


def describe_machine(device: torch.device, batch: int) -> str:
    """Say what the speeds were measured on."""
    threads = f", {many(torch.get_num_threads(), 'thread')}" if device.type == "cpu" else ""
    machine = f"{device_name(device)}{threads}, torch {torch.__version__}"
    return f"{batch}x3x{IMAGE}x{IMAGE}, fp32, {machine}"


def as_table(rows: Sequence[Row], regime: str) -> Table:
    """Lay rows out for a console."""
    swin = SWIN[regime]
    table = Table(
        box=box.SIMPLE_HEAD,
        caption=f"ResNet as it was trained before: {OLD_RECIPE[regime]:.2f}. Swin beside it: "
        f"{swin.top1:.2f}, {swin.gflops:.2f} GFLOPs."
        + f" {OFF}: docs/roadmap.md"
        * any(row.published.is_off for row in rows),
        caption_justify="left",
    )
    table.add_column("step", no_wrap=True)
    table.add_column("what changes", max_width=60)
    titles = ["params (M)", "GFLOPs", "printed", "top-1 (%)"]
    for title in [*titles, *(["images/s here"] if any(row.speed for row in rows) else [])]:
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*cells(row))
    return table


def cells(row: Row) -> list[str]:
    """Return the cells of a row."""
    speed = row.speed
    return [
        row.step,
        row.change,
        f"{row.parameters / 1e6:.1f}",
        row.counted,
        row.printed,
        row.accuracy,
        *([f"{speed.median:.1f} ({speed.low:.1f}-{speed.high:.1f})"] if speed else []),
    ]
