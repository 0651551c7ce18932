"""Plan a run: change its config in a list of steps.

>>> from convnext_dense.config.options import RunOptions
>>> recipe = "configs/det/mask_rcnn_convnext_t_coco.py"
>>> plan = plan_run(RunOptions(recipe, classes="cat, dog", batch_size=4), USE)
>>> plan.config.model.roi_head.mask_head.num_classes, plan.config.train_dataloader.batch_size
(2, 4)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from convnext_dense.config.options import RunOptions
from convnext_dense.config.state import Plan
from convnext_dense.config.steps.backbone import import_modules, put_backbone
from convnext_dense.config.steps.batch import set_batch
from convnext_dense.config.steps.check_data import check_run_data
from convnext_dense.config.steps.data import set_data
from convnext_dense.config.steps.device import fit_device
from convnext_dense.config.steps.early_stop import set_early_stop
from convnext_dense.config.steps.exported import refuse_unfit_options, use_exported_model
from convnext_dense.config.steps.freeze import set_freeze
from convnext_dense.config.steps.hooks import add_hooks
from convnext_dense.config.steps.kernels import mention_kernels
from convnext_dense.config.steps.learning_rate import set_learning_rate
from convnext_dense.config.steps.limit import set_limit
from convnext_dense.config.steps.logging import set_logging
from convnext_dense.config.steps.outputs import set_outputs
from convnext_dense.config.steps.overrides import set_overrides
from convnext_dense.config.steps.precision import set_precision
from convnext_dense.config.steps.randomness import set_randomness
from convnext_dense.config.steps.read import read_given_config
from convnext_dense.config.steps.resume import choose_checkpoint
from convnext_dense.config.steps.resumed_settings import keep_settings
from convnext_dense.config.steps.schedule import set_schedule
from convnext_dense.config.steps.tested_checkpoint import set_tested_checkpoint
from convnext_dense.config.steps.tied_parameters import count_tied_once
from convnext_dense.config.steps.tta import set_tta
from convnext_dense.config.steps.weights import fetch_weights, set_weights, show_licence
from convnext_dense.config.steps.work_dir import set_work_dir
from convnext_dense.config.steps.workers import set_workers

Step = Callable[[Plan], Plan]


@dataclass(frozen=True)
class Task:
    """The steps of one use of a config.

    Attributes:
        steps: Steps that need only the config and this machine.
        joined: Steps after the processes of the run have joined, in which one decides for all.
        splits: The splits (``train``, ``val``, ``test``) whose data is loaded.
    """

    steps: tuple[Step, ...]
    joined: tuple[Step, ...] = ()
    splits: tuple[str, ...] = ()


DATA: tuple[Step, ...] = (
    read_given_config,
    show_licence,
    fetch_weights,
    put_backbone,
    import_modules,
    set_data,
)
SETTINGS: tuple[Step, ...] = (set_overrides, set_work_dir)
# Options of the data come before `cfg_options`, which may override them.
RUN: tuple[Step, ...] = (*DATA, set_limit, set_workers, *SETTINGS)
TRAIN = Task(
    steps=(
        *RUN,
        set_weights,
        set_freeze,
        fit_device,
        mention_kernels,
        set_precision,
        set_learning_rate,
        count_tied_once,
        set_schedule,
        set_batch,
        set_randomness,
        set_logging,
        set_early_stop,
        add_hooks,
    ),
    joined=(choose_checkpoint, keep_settings, check_run_data),
    splits=("train", "val"),
)
TEST = Task(
    steps=(
        refuse_unfit_options,
        *RUN,
        set_tested_checkpoint,
        use_exported_model,
        fit_device,
        mention_kernels,
        set_tta,
        set_outputs,
        set_logging,
        add_hooks,
    ),
    joined=(check_run_data,),
    splits=("test",),
)
# Prediction on pictures, and views of the data.
USE = Task((*DATA, *SETTINGS))
# Counting and timing a model without data.
MODEL = Task((read_given_config, set_overrides))
SWAP = Task((read_given_config, put_backbone))
# For a config that needs no changes, or that another task has planned.
PREDICT = Task((read_given_config, mention_kernels))


def plan_run(options: RunOptions, task: Task, tell: Callable[[str], None] | None = None) -> Plan:
    """Read a config, and make it the config of a run.

    Args:
        options: The options of the run, with the config.
        task: The task that the config is used for.
        tell: Function that is called at once with each note for the user.

    Returns:
        The plan, with the config and all notes.

    Raises:
        FileNotFoundError: If the config, data, weights or a checkpoint are missing.
        ImportError: If the config inherits from a package that is not installed.
        ValueError: If an option, a key or a value makes no sense.
        RuntimeError: If the config's code fails, or a requested device does not exist.
    """
    return take_steps(Plan(options, splits=task.splits), task.steps, tell)


def take_steps(
    plan: Plan, steps: Sequence[Step], tell: Callable[[str], None] | None = None
) -> Plan:
    """Take further steps of a plan, such as those after the processes have joined."""
    for step in steps:
        known = len(plan.notes)
        plan = step(plan)
        for note in plan.notes[known:]:
            if tell:
                tell(note)
    return plan
