"""Make a resumed run draw the same random numbers as a run that was never interrupted."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from mmengine.dataset import InfiniteSampler, worker_init_fn
from mmengine.dist import broadcast_object_list, get_rank
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import Runner, set_random_seed
from torch.utils.data import BatchSampler, DataLoader

from convnext_dense.training.runner_facts import counts_iterations, is_training

if TYPE_CHECKING:
    from mmengine.dataset import DefaultSampler

# Distinguishes the seed of a validation from that of the training at the same place.
VALIDATION = 1


class ReproducibleStreamHook(Hook):
    """Set all random seeds again at each place where a checkpoint can be resumed.

    A checkpoint does not contain the state of the random number generators, least of all of those
    in loader workers. So at each such place the random state is computed from the run's seed and
    the place: in epoch-based training at every epoch; in iteration-based training at every multiple
    of the checkpoint hook's interval and of the validation interval, since a new best one is saved
    there. A resumed run then reaches the same weights as one that was never stopped. Different
    places, ranks and workers draw different numbers.

    In iteration-based training the order of the data also restarts at such a place, so that a
    resumed run has no data to skip. mmengine's own loop would load every earlier batch again.

    A validation during training has its own random numbers, so that it has the same figures if it
    is run later, after a resume.

    The run's seed also becomes the sampler's. If ``randomness.seed`` is not set, mmengine resumes
    the seed, but has built the sampler before that.

    An iteration-based loop over another sampler than mmengine's ``InfiniteSampler``, or another
    batch sampler than torch's and mmdet's ``AspectRatioBatchSampler``, is left as it is, with a
    warning: its order cannot be restarted.
    """

    # Before anything else draws random numbers at the start of an epoch.
    priority = "VERY_HIGH"

    def before_train(self, runner: Runner) -> None:
        """Take over the batches of an iteration-based loop."""
        if runner.train_dataloader.persistent_workers:
            runner.logger.log(
                logging.WARNING,
                "train_dataloader.persistent_workers=True: workers keep their random state from "
                "one epoch to the next, so a resumed run gets other augmentations than an "
                "uninterrupted one. Set it to False to resume exactly",
            )
        if not counts_iterations(runner):
            return
        loader = runner.train_dataloader
        # A batch sampler of another kind may keep samples back for later batches.
        is_known = type(loader.batch_sampler) is BatchSampler or _buckets(loader)
        if isinstance(_sampler(loader), InfiniteSampler) and is_known:
            runner.train_loop.dataloader_iterator = _SegmentedBatches(runner)
        else:
            runner.logger.log(
                logging.WARNING,
                f"{type(_sampler(loader)).__name__} under {type(loader.batch_sampler).__name__} "
                "cannot be restarted: a resumed run reads all earlier batches again and is not "
                "exact. sampler=dict(type='InfiniteSampler') without a batch_sampler can",
            )

    def after_train(self, runner: Runner) -> None:
        """End the workers of an iteration-based loop, whose stream has no end."""
        if counts_iterations(runner):
            runner.train_loop.dataloader_iterator = None

    def before_train_epoch(self, runner: Runner) -> None:
        """Seed an epoch of epoch-based training."""
        if not counts_iterations(runner):
            seed = _run_seed(runner)
            _seed_process_and_workers(runner.train_dataloader, seed, runner.epoch)
            sampler = _sampler(runner.train_dataloader)
            # Samplers add the epoch themselves; they get it from mmengine's DistSamplerSeedHook.
            if hasattr(sampler, "seed"):
                sampler.seed = seed

    def before_val(self, runner: Runner) -> None:
        """Seed a validation during training."""
        if is_training(runner):
            place = _mix(runner.iter, VALIDATION)
            _seed_process_and_workers(runner.val_dataloader, _run_seed(runner), place)


def restart_batches(runner: Runner, place: int) -> None:
    """Let an iteration-based loop read changed data from the iteration ``place`` on.

    Its loader workers, which hold the data as it was, are started again.
    """
    batches = runner.train_loop.dataloader_iterator
    if isinstance(batches, _SegmentedBatches):
        batches.changes.append(place)
    else:
        batches._iterator = iter(runner.train_dataloader)


class _SegmentedBatches:
    """An endless stream of batches that restarts at each place where a checkpoint may be written.

    mmengine's iteration-based loop calls it once per iteration; a resumed loop first calls it once
    for each iteration already done. The forks' loop calls ``skip_iter`` once instead. Neither loads
    any data here.
    """

    def __init__(self, runner: Runner) -> None:
        self._loop = runner.train_loop
        self._loader: DataLoader = runner.train_dataloader
        self._sampler = _sampler(self._loader)
        self._seed = _run_seed(runner)
        self._intervals = _intervals(runner)
        self.changes: list[int] = []  # iterations before which the data has changed
        self._calls_to_skip = self._loop.iter
        if hasattr(self._loop.dataloader_iterator, "skip_iter"):
            self._calls_to_skip = 0
        self._batches: Any = None

    def skip_iter(self, num_iters: int) -> None:
        """Do nothing: the loop knows its iteration, so there is nothing to skip."""

    def __next__(self) -> dict | tuple | list | None:
        if self._calls_to_skip:
            self._calls_to_skip -= 1
            return None
        position = self._loop.iter
        start = max([0, *(position - position % n for n in self._intervals), *self.changes])
        if position == start or self._batches is None:
            self._restart(start)
            # A checkpoint that was written with other intervals is resumed in between.
            for _ in range(start, position):
                next(self._batches)
        return next(self._batches)

    def _restart(self, place: int) -> None:
        self._batches = None  # ends the old workers first
        _seed_process_and_workers(self._loader, self._seed, place)
        self._sampler.seed = _mix(self._seed, place)
        self._sampler.indices = self._sampler._indices_of_rank()
        for bucket in _buckets(self._loader):
            bucket.clear()  # images that wait for a batch of their shape
        self._batches = iter(self._loader)


def _run_seed(runner: Runner) -> int:
    # Rank 0's: checkpoints contain it, and with diff_rank_seed each rank has another.
    seeds = [runner.seed]
    broadcast_object_list(seeds)
    return seeds[0]


def _mix(*key: int) -> int:
    # 31 bits, to which mmengine adds the worker's number; numpy takes seeds below 2**32.
    return int(np.random.SeedSequence(key).generate_state(1)[0] >> 1)


def _seed_process_and_workers(loader: DataLoader, seed: int, place: int) -> None:
    set_random_seed(_mix(seed, place, get_rank(), 0))
    # torch seeds workers from the process's generator. mmengine's function replaces this seed by a
    # constant; the user's own function stays as it is.
    init = loader.worker_init_fn
    if isinstance(init, partial) and init.func is worker_init_fn:
        loader.worker_init_fn = partial(init, seed=_mix(seed, place, get_rank(), 1))


def _sampler(loader: DataLoader) -> DefaultSampler:
    # If a loader has a batch sampler, its `sampler` is only a placeholder.
    return getattr(loader.batch_sampler, "sampler", loader.sampler)


def _buckets(loader: DataLoader) -> list[list[int]]:
    """Return the lists in which mmdet's batch sampler keeps images back; none of another's."""
    is_known = type(loader.batch_sampler).__name__ == "AspectRatioBatchSampler"
    return getattr(loader.batch_sampler, "_aspect_ratio_buckets", []) if is_known else []


def _intervals(runner: Runner) -> list[int]:
    """List the intervals, in iterations, at which mmengine may write a checkpoint."""
    intervals = [
        hook.interval
        for hook in runner.hooks
        if isinstance(hook, CheckpointHook) and not hook.by_epoch and hook.interval > 0
    ]
    return intervals if runner.val_loop is None else [*intervals, runner.val_interval]
