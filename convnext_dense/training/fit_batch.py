"""Find the largest batch that fits into a GPU's memory, by steps of training on it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist
from mmengine.config import Config, ConfigDict
from mmengine.dataset import pseudo_collate
from mmengine.device import get_device
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DATASETS, MODELS, DefaultScope

from convnext_dense.config.plan import TRAIN, plan_run, take_steps
from convnext_dense.config.runner import config_of_runner
from convnext_dense.config.state import Plan
from convnext_dense.config.steps.check_data import check_run_data
from convnext_dense.config_tree import type_name, walk
from convnext_dense.limits import MOST_IMAGES
from convnext_dense.ranks import world_size
from convnext_dense.swap.trial import set_counters
from convnext_dense.training.runner_facts import optimizers_of

# The part of the free memory that a trial may use: later batches may have more objects.
USABLE = 0.9
# Samples that are read to find the heaviest, and steps of training with a batch of them.
READ = 48
STEPS = 2


def fit_batch(plan: Plan, tell: Callable[[str], None] | None = None) -> Plan:
    """Return the plan of a training with the largest batch that fits, and with its learning rate.

    Args:
        plan: A plan whose processes have joined and whose data was checked, with ``batch_size`` of
            ``auto``.
        tell: Called with the notes that the batch adds to those of the plan.

    Raises:
        RuntimeError: If not even one image fits.
    """
    cfg = config_of_runner(plan)
    processes = world_size(cfg.launcher)
    samples, images = heaviest_samples(cfg)
    most = max(1, min(images // processes, MOST_IMAGES))
    with usable_memory():
        trial = Trial(cfg, samples)
        size = largest(trial.fits, most)
    del trial
    _release()
    if not size:
        raise RuntimeError(
            "`batch_size='auto'`: not even one image fits into the GPU's memory: use a smaller "
            "`img_size` or `backbone`, `amp`, or model.backbone.with_cp=True in `cfg_options`"
        )
    base = (cfg.get("auto_scale_lr") or {}).get("base_batch_size")
    options = replace(plan.options, batch_size=size, auto_scale_lr=bool(base))
    fitted = plan_run(options, TRAIN)
    fitted = take_steps(fitted, [step for step in TRAIN.joined if step is not check_run_data])
    told = [note for note in fitted.notes if note not in plan.notes]
    told.insert(0, _said(fitted.config, size, most, base))
    for note in told:
        if tell:
            tell(note)
    return replace(fitted, notes=(*plan.notes, *told), objects=plan.objects)


def _said(cfg: Config, size: int, most: int, base: int | None) -> str:
    limit = ", which is all images" if size == most else ""
    said = f"`batch_size='auto'`: {size} images per process fit{limit}; the learning rate "
    if not base:
        return f"{said}stays, since the config has no auto_scale_lr.base_batch_size"
    step = size * world_size(cfg.launcher) * cfg.optim_wrapper.get("accumulative_counts", 1)
    rate = cfg.optim_wrapper.optimizer.lr
    return f"{said}is {rate * step / base:.3g}, from {rate:g} for {base} images"


def largest(fits: Callable[[int], bool], most: int) -> int:
    """Find the largest number from 1 to ``most`` that fits, by doubling and bisection; 0 if none.

    Args:
        fits: Whether a number fits; false for all numbers above one for which it is.
    """
    # Some models cannot be trained on one image, so that is tried last.
    fitting, failing = 0, min(2, most)
    while failing <= most and fits(failing):
        fitting, failing = failing, 2 * failing
    failing = min(failing, most + 1)
    while failing - fitting > 1:
        middle = (fitting + failing) // 2
        if fits(middle):
            fitting = middle
        else:
            failing = middle
    return fitting


class Trial:
    """A model and its optimizer that take steps on batches of given samples.

    Weights and the order of random numbers of the run do not depend on it: the run builds its own
    model, and sets its seed before.

    Args:
        cfg: The config of a runner.
        samples: Samples of the training data, the heaviest first.
    """

    def __init__(self, cfg: Config, samples: Sequence[Mapping]) -> None:
        self._cfg = cfg
        self._samples = samples
        self._model: Any = None

    def fits(self, size: int) -> bool:
        """Whether a batch of so many images fits into the memory of every process."""
        try:
            if self._model is None:
                self._build()
            for _ in range(STEPS):
                self._step(size)
            fits = True
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            fits = False
        if self._model is not None:
            self._model.zero_grad()
        _release()
        if dist.is_initialized():
            flag = torch.tensor(int(fits), device=get_device())
            dist.all_reduce(flag, dist.ReduceOp.MIN)
            fits = bool(flag)
        return fits

    def _build(self) -> None:
        cfg = copy.deepcopy(self._cfg)
        for _, node in walk(cfg.model.get("data_preprocessor")):
            if node.get("random_size_range"):  # a batch is resized to a size that it draws
                node.update(random_size_range=(max(node.random_size_range),) * 2, interval=1)
        with DefaultScope.overwrite_default_scope(cfg.get("default_scope") or "mmengine"):
            # Without other processes, of which each may end its steps at another place.
            model = revert_sync_batchnorm(MODELS.build(cfg.model)).to(get_device())
            model.train()
            self._wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
        # What else takes memory: averaged weights, and the gradients that processes exchange.
        hooks = [type_name(hook) for hook in cfg.get("custom_hooks") or ()]
        averaged = model.state_dict().values() if any("EMA" in name for name in hooks) else ()
        trained = [p for p in model.parameters() if p.requires_grad]
        exchanged = trained if dist.is_initialized() else ()
        self._kept = [torch.empty_like(one) for one in (*averaged, *exchanged)]
        # The optimizer's state, which a scaled step may skip. Nothing is learnt.
        for optimizer in optimizers_of(self._wrapper):
            for group in optimizer.param_groups:
                group["lr"] = 0.0
                for parameter in group["params"]:
                    if parameter.requires_grad:
                        parameter.grad = torch.zeros_like(parameter)
            optimizer.step()
            optimizer.zero_grad()
        set_counters()
        self._model = model

    def _step(self, size: int) -> None:
        samples = [self._samples[index % len(self._samples)] for index in range(size)]
        self._model.train_step(pseudo_collate(copy.deepcopy(samples)), self._wrapper)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether an error says that memory is used up, as libraries below torch do in their ways."""
    said = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or any(
        sign in said for sign in ("out of memory", "alloc_failed")
    )


def heaviest_samples(cfg: Config) -> tuple[list[Mapping], int]:
    """Read training samples at the largest size of the pipeline.

    Returns:
        The tallest, the widest and those with the most objects, and the number of all images.
    """
    dataset_cfg = copy.deepcopy(cfg.train_dataloader.dataset)
    for _, node in walk(dataset_cfg):
        _enlarge(node)
    with DefaultScope.overwrite_default_scope(cfg.get("default_scope") or "mmengine"):
        dataset = DATASETS.build(dataset_cfg)
    if hasattr(dataset, "full_init"):
        dataset.full_init()
    number = len(dataset)
    read = [dataset[index * number // min(READ, number)] for index in range(min(READ, number))]
    measures = (lambda s: _shape(s)[-2], lambda s: _shape(s)[-1], _count_objects)
    heaviest = [max(read, key=measure) for measure in measures]
    # Every batch, also one of one image, has the largest picture.
    heaviest.sort(key=lambda sample: -_shape(sample)[-2] * _shape(sample)[-1])
    return heaviest, number


def _enlarge(node: ConfigDict) -> None:
    """Let a transform that draws a size draw its largest one."""
    kind = type_name(node)
    if kind == "RandomChoiceResize" and node.get("scales"):
        node.scales = [max(node.scales, key=_area)]
    elif kind == "RandomResize" and node.get("ratio_range"):
        node.ratio_range = (max(node.ratio_range),) * 2
    elif kind == "RandomResize" and isinstance(node.get("scale"), list):
        node.scale = [max(node.scale, key=_area)] * 2


def _area(scale: int | Sequence[int]) -> float:
    return scale if isinstance(scale, int | float) else scale[0] * scale[1]


def _shape(sample: Mapping) -> tuple[int, ...]:
    """Return the shape of a sample's picture; (0, 0) if it has several."""
    return tuple(getattr(sample.get("inputs"), "shape", (0, 0)))


def _count_objects(sample: Mapping) -> int:
    return len(getattr(sample.get("data_samples"), "gt_instances", ()))


@contextmanager
def usable_memory() -> Iterator[None]:
    """Let this process take only a part of the GPU's free memory, so that some is spared."""
    if not torch.cuda.is_available():
        yield
        return
    free, total = torch.cuda.mem_get_info()
    torch.cuda.set_per_process_memory_fraction(USABLE * free / total)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def _release() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
