"""Measure our backbone beside its peers: equal weights, input and type, alternating runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from convnext_dense.backbone import ARCHS
from convnext_dense.benchmark import FORMATS
from convnext_dense.benchmark.ceiling import Ceiling, measure_ceiling, mlp_shapes
from convnext_dense.benchmark.memory import MemoryWatch
from convnext_dense.benchmark.networks import (
    OURS,
    Maps,
    Network,
    Reference,
    check_equal,
    count_flops,
    count_flops_of,
    find_networks,
    in_one_line,
    relative_error,
)
from convnext_dense.benchmark.parts import Part, time_by_part
from convnext_dense.benchmark.peers import PEERS
from convnext_dense.benchmark.timing import UNMEASURED, Spread, alternate, paired_ratio, seconds

_FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
# Largest relative error that rounding to the measured type can explain.
TOLERANCES = {"fp32": 1e-2, "bf16": 0.1, "amp": 0.1}


@dataclass(frozen=True)
class Setting:
    """What is measured, and how.

    Attributes:
        shape: Height and width of the images.
        batch: The number of images.
        device: The device.
        dtype: ``fp32``; ``bf16``: weights and input are cast; ``amp``: bfloat16 autocast.
        mode: ``infer``: a forward pass without gradients. ``train``: forward, the loss, backward to
            every parameter; the loss sums the means of the maps times fixed random numbers.
        drop_path: Stochastic depth of the last block.
        compiled: Whether every network is measured compiled too.
        peers: Names in :data:`convnext_dense.benchmark.peers.PEERS`.
        formats: Memory formats of the input, of ``FORMATS``.
        rounds: Samples of each network.
        min_time: The least seconds of a sample.
        parts: Whether to time our network's and the fastest peer's operators too.
    """

    shape: tuple[int, int] = (512, 512)
    batch: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: str = "fp32"
    mode: str = "infer"
    drop_path: float = 0.0
    compiled: bool = False
    peers: Collection[str] = tuple(PEERS)
    formats: Collection[str] = FORMATS
    rounds: int = 10
    min_time: float = 0.1
    parts: bool = False

    @property
    def trains(self) -> bool:
        """Whether the backward pass is measured."""
        return self.mode == "train"

    @property
    def parameter_dtype(self) -> torch.dtype:
        """The type of weights and input."""
        return torch.bfloat16 if self.dtype == "bf16" else torch.float32

    @property
    def matrix_dtype(self) -> torch.dtype:
        """The type in which matrix products run."""
        return torch.float32 if self.dtype == "fp32" else torch.bfloat16


@dataclass
class Row:
    """What was measured of a network.

    Attributes:
        network: ``ours`` or the peer's name.
        normed: Whether its outputs are normed; otherwise they are the raw stages.
        memory_format: The memory format of its input and weights.
        compiled: Whether it is compiled by ``torch.compile``.
        error: The relative error of its outputs in the measured type; None if they are random, or
            those of another network.
        memory: Peak memory in bytes, without weights and input; memory that the first pass keeps
            counts.
        start_up: Seconds of the first passes.
        samples: Seconds of a pass, one per round.
        ratio: The time, divided by that of ours with the same outputs, eager and in its faster
            format, round by round.
        share: The part of the ceiling that is reached.
        is_same: Whether it computes what ours does; otherwise it is another network of its size.
        parameters: The number of its parameters.
        flops: Operations of a pass, 2 for a multiply-add.
    """

    network: str
    normed: bool
    memory_format: str
    compiled: bool
    error: float | None = None
    memory: int = 0
    start_up: float = 0.0
    samples: list[float] = field(default_factory=list)
    ratio: Spread = UNMEASURED
    share: float = 0.0
    is_same: bool = True
    parameters: int = 0
    flops: int = 0

    @property
    def title(self) -> str:
        """Its name in tables, which is unique."""
        words = [self.network]
        words += ["raw stages"] if self.network == OURS and not self.normed else []
        words += ["channels_last"] if self.memory_format == "channels_last" else []
        words += ["compiled"] if self.compiled else []
        return ", ".join(words)

    @property
    def time(self) -> Spread:
        """Seconds of a pass."""
        return Spread.of(self.samples)


@dataclass
class Measurement:
    """What was measured of an arch.

    Attributes:
        arch: Its name.
        flops: Operations of a pass, 2 for a multiply-add.
        ceiling: The best rates of the machine in the same run.
        rows: One per network.
        skipped: Why the other peers, or some rows, were not measured.
        parts: The time of a row's operators, by its title.
    """

    arch: str
    flops: int
    ceiling: Ceiling
    rows: list[Row]
    skipped: dict[str, str]
    parts: dict[str, list[Part]] = field(default_factory=dict)

    def fastest_peer(self, compiled: bool = False) -> Row | None:
        """Return the fastest peer relative to ours.

        Args:
            compiled: Whether compiled peers count too.
        """
        peers = [r for r in self.rows if r.network != OURS and (compiled or not r.compiled)]
        return min(peers, key=lambda row: row.ratio.median, default=None)


@dataclass
class Runner:
    """A network on its input, in a given type, mode and format."""

    row: Row
    module: nn.Module
    call: Callable[[Tensor], Any]
    network: Network
    image: Tensor
    setting: Setting
    directions: list[Tensor] = field(default_factory=list)

    def forward(self) -> Maps:
        """Return the maps."""
        setting = self.setting
        autocast = torch.autocast(
            setting.device.type, torch.bfloat16, enabled=setting.dtype == "amp"
        )
        with torch.set_grad_enabled(setting.trains), autocast:
            return self.network.unpack(self.call(self.image))

    def __call__(self) -> None:
        """Do what is timed."""
        if not self.setting.trains:
            self.forward()
            return
        pairs = zip(self.forward(), self.directions, strict=True)
        torch.stack([(x * direction).mean() for x, direction in pairs]).sum().backward()
        self.module.zero_grad(set_to_none=True)

    def prepare(self, wanted: Maps | None) -> None:
        """Run the first passes, and fill in their error, memory and time.

        Args:
            wanted: The exact outputs.

        Raises:
            RuntimeError: If the outputs differ too much.
        """
        device = self.setting.device
        watch = MemoryWatch(device)
        if self.row.compiled:  # compiling needs memory that is not the network's
            self.row.start_up = seconds(self.forward, device)
        with watch:
            self.row.start_up += seconds(self.forward, device)
        kept = watch.left
        maps = self.forward()
        if wanted is not None:
            self.row.error = relative_error(maps, wanted)
            if not self.row.error <= TOLERANCES[self.setting.dtype]:
                raise RuntimeError(
                    f"the outputs of {self.row.title} in {self.setting.dtype} differ by "
                    f"{self.row.error:.1e} of their size from the exact ones"
                )
        generator = torch.Generator().manual_seed(3)
        # In the memory format of the maps, so that the product copies nothing.
        self.directions = [
            torch.empty_like(x).copy_(torch.randn(x.shape, generator=generator)).detach()
            for x in maps
        ]
        del maps
        self.row.start_up += seconds(self, device)
        with watch:
            self()
        self.row.memory = kept + watch.peak


def measure_backbone(
    arch: str, setting: Setting, say: Callable[[str], None] = lambda message: None
) -> Measurement:
    """Measure our backbone of an arch beside its peers.

    Args:
        arch: A name in :data:`convnext_dense.backbone.ARCHS`.
        setting: What is measured, and how.
        say: Called with messages about the progress.

    Raises:
        RuntimeError: If two networks do not compute the same.
    """
    device = setting.device
    if setting.compiled:
        torch.compiler.reset()  # torch silently runs a class eager that was compiled too often
    networks, skipped = find_networks(arch, setting.peers, setting.drop_path)
    say(f"{arch}: comparing {', '.join(dict.fromkeys(n.name for n in networks))} in float32")
    reference = Reference(arch, device)
    check_equal(networks, reference, device, gradients=setting.trains)

    generator = torch.Generator().manual_seed(4)
    image = torch.randn(setting.batch, 3, *setting.shape, generator=generator).to(device)
    wanted = None
    if not (setting.trains and setting.drop_path):
        with torch.no_grad():
            wanted = reference.maps(image)
    del reference
    image = image.to(setting.parameter_dtype)

    runners = []
    for runner in _runners(networks, image, setting):
        title = runner.row.title
        say(f"{arch}: first passes of {title}")
        try:
            exact = wanted if runner.row.is_same else None
            runner.prepare(exact[runner.row.normed] if exact else None)
        except Exception as error:  # a compiler or another library may raise anything
            if runner.row.network == OURS and not runner.row.compiled:
                raise
            skipped[title] = f"fails: {in_one_line(error)}"
            continue
        runners.append(runner)
    del wanted

    def ceiling_now() -> Ceiling:
        own = ARCHS[arch]
        shapes = mlp_shapes(setting.shape, setting.batch, own.channels, own.stem_stride)
        return measure_ceiling(device, setting.matrix_dtype, shapes)

    say(f"{arch}: measuring the ceiling, then {len(runners)} networks in {setting.rounds} rounds")
    before = ceiling_now()
    samples = alternate(
        {runner.row.title: runner for runner in runners}, device, setting.rounds, setting.min_time
    )
    # The better of two times, since other work on the machine may have disturbed one.
    ceiling = max(before, ceiling_now(), key=lambda measured: measured.matrix_rate)
    work = setting.shape, setting.batch, setting.trains
    flops = count_flops(arch, *work)
    rows = [runner.row for runner in runners]
    for runner, row in zip(runners, rows, strict=True):
        row.samples = samples[row.title]
        row.flops = flops if row.is_same else count_flops_of(runner.network.build().eval(), *work)
        row.share = row.flops / row.time.median / ceiling.matrix_rate
    compare_with_ours(rows)
    measurement = Measurement(arch, flops, ceiling, rows, skipped)
    if setting.parts:
        fastest = measurement.fastest_peer()
        shown = [best_of_ours(rows, normed=True), *([fastest] if fastest else [])]
        measurement.parts = {
            runner.row.title: time_by_part(runner, device)
            for runner in runners
            if runner.row in shown
        }
    return measurement


def best_of_ours(rows: list[Row], normed: bool) -> Row:
    """Return our eager row of the faster memory format."""
    ours = [r for r in rows if r.network == OURS and r.normed == normed and not r.compiled]
    return min(ours, key=lambda row: row.time.median)


def compare_with_ours(rows: list[Row]) -> None:
    """Fill in the ratios."""
    for row in rows:
        row.ratio = paired_ratio(row.samples, best_of_ours(rows, row.normed).samples)


def _runners(networks: list[Network], image: Tensor, setting: Setting) -> Iterator[Runner]:
    for network in networks:
        for name in setting.formats:
            module = network.build().to(setting.device, setting.parameter_dtype)
            # torch's type hints lack this argument.
            module = module.to(memory_format=_FORMATS[name])  # type: ignore[call-overload]
            module.train(setting.trains)  # not chained: mmpretrain's returns None
            own = image.contiguous(memory_format=_FORMATS[name])
            for compiled in (False, True) if setting.compiled else (False,):
                row = Row(
                    network.name,
                    network.normed,
                    name,
                    compiled,
                    is_same=network.is_same,
                    parameters=sum(p.numel() for p in module.parameters()),
                )
                call = torch.compile(module, dynamic=False) if compiled else module
                yield Runner(row, module, call, network, own, setting)
