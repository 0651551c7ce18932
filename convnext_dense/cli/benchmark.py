"""Measure speed and memory: %(prog)s backbone --arch tiny --dtype amp --mode train.

backbone: ours beside timm, transformers, torchvision, mmpretrain and Meta's layout, with equal
weights. train, infer: whole models of configs, on random input of the recipe's size.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import warnings
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

from convnext_dense.backbone.archs import ARCHS
from convnext_dense.benchmark import DTYPES, FORMATS, MODES, PEER_NAMES
from convnext_dense.cli.actions import add_number
from convnext_dense.cli.errors import add_debug_option
from convnext_dense.cli.flags import with_flags
from convnext_dense.cli.help_text import LinesFormatter
from convnext_dense.cli.options import add_device_option
from convnext_dense.cli.output import print_text
from convnext_dense.files import ensure_writable
from convnext_dense.limits import MOST_IMAGES, MOST_PIXELS, check_parallel

if TYPE_CHECKING:
    import torch

RECIPES_OWN = "the recipe's"
BACKBONE = """Measure our backbone beside every installed peer, with equal weights and input.

Before anything is timed, outputs (and for --mode train the gradient of every parameter) are
compared with Meta's layout in float32. Then all run in turns, in an order that rotates from round
to round. The table's columns:
  outputs        with a norm after each, or raw stages: whichever the peer gives. Ours is measured
                 both ways, and each peer compared with ours of the same outputs.
  median, ms     of a pass, with the quartiles of its samples.
  ratio to ours  above 1 ours is faster: median and quartiles of the ratios within a round, to ours
                 in its faster memory format. Each peer counts with its faster format too.
  peak, MB       of tensors beyond weights and input: CUDA's allocator, or on a CPU the allocations
                 that torch's profiler sees in a pass that is not timed. Scratch memory that oneDNN
                 takes for itself is not among them.
  ceiling        operations of the network (backward counted twice the forward) per second, as a
                 share of the fastest matrix product measured in the same run.
  error          of the outputs in the measured type to those in float32, in the norm; `other` for
                 a vision transformer (vit) of equal size, measured beside the isotropic archs.
  start, s       of the first passes, with the compiler's time.
"""
MODELS = """Measure models of configs in turns, with random weights, on random input.

Where several are given, each is compared with the first: above 1 it takes longer. Phases: data is
the data preprocessor alone, since no image is read; forward the losses, or the prediction with
all that comes after the network; backward; step the optimizer's, with clipping. Peak memory is as
in `backbone`, beyond weights and the optimizer's state.
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the three kinds of measurements as subcommands."""
    commands = parser.add_subparsers(required=True, metavar="backbone|train|infer")
    backbone = commands.add_parser(
        "backbone",
        help="our backbone beside its peers",
        description=BACKBONE,
        formatter_class=LinesFormatter,
    )
    add_backbone_options(backbone)
    backbone.set_defaults(command=benchmark_backbone)
    for mode, text in (("train", "training steps of configs"), ("infer", "predictions of configs")):
        models = commands.add_parser(
            mode, help=text, description=MODELS, formatter_class=LinesFormatter
        )
        add_model_options(models, mode)
        models.set_defaults(command=benchmark_models, mode=mode)


def add_shared_options(parser: argparse.ArgumentParser) -> None:
    """Add the flags of every command."""
    add_device_option(parser)
    add_number(parser, "--threads", "on a CPU, at most 4 per core; default: torch's own", least=1)
    add_number(
        parser,
        "--rounds",
        "samples of each; default: %(default)s",
        least=1,
        most=10_000,
        default=10,
    )
    parser.add_argument(
        "--json", metavar="FILE", help="write every sample, and what is needed to repeat it"
    )
    parser.add_argument("--plot", metavar="FILE", help="draw the times as a PNG")
    parser.add_argument("--quiet", action="store_true", help="print no progress to stderr")


def add_backbone_options(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``backbone``."""
    parser.add_argument(
        "--arch",
        nargs="+",
        default=["tiny"],
        metavar="A",
        help=f"one or more of {', '.join(ARCHS)}; default: tiny",
    )
    _add_input_options(parser, least=32, shape=(512, 512), batch=1)
    parser.add_argument(
        "--dtype",
        choices=DTYPES,
        default="fp32",
        help="bf16 casts weights and input, amp is bfloat16 autocast; default: fp32",
    )
    parser.add_argument(
        "--mode", choices=MODES, default="infer", help="train adds the backward pass; infer"
    )
    parser.add_argument(
        "--drop-path", type=float, default=0.0, metavar="R", help="stochastic depth; 0"
    )
    parser.add_argument(
        "--compile", action="store_true", help="measure every network by torch.compile too"
    )
    parser.add_argument(
        "--peers",
        nargs="*",
        metavar="P",
        help=f"some of {', '.join(PEER_NAMES)}, or none; default: all that are installed",
    )
    parser.add_argument(
        "--memory-format",
        choices=[*FORMATS, "both"],
        default="both",
        help="of input and weights; the faster one counts for each network; default: both",
    )
    add_number(
        parser,
        "--min-time",
        "seconds of calls in a sample, at least; default: %(default)s",
        type=float,
        metavar="S",
        least=0,
        most=3600,
        default=0.1,
    )
    parser.add_argument(
        "--parts", action="store_true", help="show where the time goes, by kind of operator"
    )
    add_shared_options(parser)
    add_debug_option(parser)


def add_model_options(parser: argparse.ArgumentParser, mode: str) -> None:
    """Add the flags of ``train`` and ``infer``."""
    from convnext_dense.cli.options import add_config_options

    parser.add_argument(
        "config",
        nargs="+",
        help="a config file, a recipe, or one of mmdet's or mmseg's: mmdet::...; several run in "
        "turns and are compared with the first",
    )
    _add_input_options(parser, batch=None if mode == "train" else 1)
    parser.add_argument(
        "--dtype", choices=("fp32", "amp"), default="fp32", help="amp is bfloat16 autocast; fp32"
    )
    add_shared_options(parser)
    add_config_options(parser)


def _add_input_options(
    parser: argparse.ArgumentParser,
    *,
    least: int = 1,
    shape: tuple[int, int] | None = None,
    batch: int | None,
) -> None:
    add_number(
        parser,
        "--shape",
        f"of the images; default: {' '.join(map(str, shape)) if shape else RECIPES_OWN}",
        metavar=("H", "W"),
        nargs=2,
        least=least,
        most=MOST_PIXELS,
        default=shape,
    )
    add_number(
        parser,
        "--batch",
        f"number of images; default: {batch or RECIPES_OWN}",
        least=1,
        most=MOST_IMAGES,
        default=batch,
    )


def benchmark_backbone(args: argparse.Namespace) -> None:
    """Measure our backbone beside its peers, and print what was measured.

    Raises:
        ValueError: If a flag's value is out of range, or there is no such arch or peer.
        RuntimeError: If the device or a compiler is missing, or two networks differ.
    """
    for arch in args.arch:
        if arch not in ARCHS:
            raise ValueError(f"--arch: there is no arch {arch!r}, choose from {', '.join(ARCHS)}")
    if not 0 <= args.drop_path < 1:
        raise ValueError(f"--drop-path is in [0, 1), got {args.drop_path}")
    peers = _peers(args.peers)
    device = _prepare(args)

    from convnext_dense.benchmark.backbone import Measurement, Setting, measure_backbone
    from convnext_dense.benchmark.report import backbone_text, plot_backbones, write_json

    if args.compile:
        _check_compiler(device)
    setting = Setting(
        shape=tuple(args.shape),
        batch=args.batch,
        device=device,
        dtype=args.dtype,
        mode=args.mode,
        drop_path=args.drop_path,
        compiled=args.compile,
        peers=peers,
        formats=FORMATS if args.memory_format == "both" else (args.memory_format,),
        rounds=args.rounds,
        min_time=args.min_time,
        parts=args.parts,
    )
    measured: list[Measurement] = []
    for arch in args.arch:
        measured.append(measure_backbone(arch, setting, _progress_printer(args)))
        print_text(backbone_text(measured[-1], setting), lines=True)
    if args.json:
        write_json(args.json, device, vars(setting), measured)
    if args.plot:
        plot_backbones(args.plot, measured, setting)


def benchmark_models(args: argparse.Namespace) -> None:
    """Measure the models of configs in turns, and print what was measured.

    Raises:
        FileNotFoundError: If there is no such config.
        ValueError: If a flag's value is out of range, or a config has no model.
        RuntimeError: If the device is missing, or a loss is not finite.
    """
    from convnext_dense.benchmark.models import measure_models, title_of
    from convnext_dense.benchmark.report import models_text, plot_models, write_json
    from convnext_dense.cli.options import run_options
    from convnext_dense.config.plan import MODEL, plan_run
    from convnext_dense.config.steps.precision import use_float32, use_precision

    device = _prepare(args)
    configs = {}
    for name in args.config:
        cfg = plan_run(replace(run_options(args), config=name), MODEL).config
        if args.mode == "train" and "optim_wrapper" in cfg:
            if args.dtype == "amp":
                use_precision(cfg, "bfloat16")
            else:
                use_float32(cfg)
        title = title_of(name)
        if title in configs:
            raise ValueError(f"two configs have the name {title}: rename one")
        configs[title] = cfg
    rows = measure_models(
        configs,
        args.mode,
        device,
        args.dtype,
        shape=tuple(args.shape) if args.shape else None,
        batch=args.batch,
        rounds=args.rounds,
        say=_progress_printer(args),
    )
    print_text(with_flags(models_text(rows, device)), lines=True)
    if args.json:
        write_json(args.json, device, dict(mode=args.mode, dtype=args.dtype), rows)
    if args.plot:
        plot_models(args.plot, rows, device)


def _prepare(args: argparse.Namespace) -> torch.device:
    if args.device and not re.fullmatch(r"cpu|cuda(:\d+)?", args.device):
        raise ValueError(f"--device is cpu, cuda or cuda:N, got {args.device!r}")
    if args.plot and find_spec("matplotlib") is None:
        raise ImportError("--plot needs matplotlib: pip install matplotlib")
    for path in filter(None, (args.json, args.plot)):
        ensure_writable(path)
    if args.threads:
        check_parallel("--threads", args.threads)

    import torch

    from convnext_dense.inference.model import choose_device

    # Without this, torch's profiler prints its stages.
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")
    warnings.filterwarnings("ignore")
    if args.threads:
        torch.set_num_threads(args.threads)
    return choose_device(args.device)


def _peers(names: list[str] | None) -> tuple[str, ...]:
    if not names:
        return PEER_NAMES
    if names == ["none"]:
        return ()
    for name in names:
        if name not in PEER_NAMES:
            raise ValueError(
                f"--peers: there is no {name!r}, choose from {', '.join(PEER_NAMES)}, none"
            )
    return tuple(names)


def _check_compiler(device: torch.device) -> None:
    if device.type == "cuda":
        if find_spec("triton") is None:
            raise RuntimeError("--compile needs Triton on a GPU: pip install triton")
        return
    compilers = (os.environ.get("CXX"), "g++", "clang++")
    if not any(shutil.which(name) for name in compilers if name):
        raise RuntimeError(
            "--compile needs a C++ compiler on a CPU, and $CXX, g++ and clang++ are all missing: "
            "install one, or leave the flag out"
        )


def _progress_printer(args: argparse.Namespace) -> Callable[[str], None]:
    def print_progress(message: str) -> None:
        if not args.quiet:
            print_text(message, lines=True, error=True)

    return print_progress
