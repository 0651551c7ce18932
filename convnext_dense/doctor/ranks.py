"""Several GPUs together: their exchange, synchronised norms, and gradients equal to one's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from convnext_dense.backbone import ConvNeXt
from convnext_dense.benchmark.networks import relative_error
from convnext_dense.doctor.finding import Examination, Finding, Verdict
from convnext_dense.patches import enable
from convnext_dense.text import one_line

TOLERANCE = 1e-4
# Floats that are added up over all processes: the gradients of ConvNeXt-T, about.
FLOATS = 2**25
SHAPE = (2, 3, 64, 96)  # of each process


def check_ranks(examination: Examination) -> Iterator[Finding]:
    """Let one process for each GPU exchange tensors, and train on a joint batch."""
    count = len(examination.gpus)
    if count < 2:
        yield Finding("several GPUs", Verdict.NOT_SEEN, f"there are {count}")
        return
    yield from run_ranks(examination.folder, count, "nccl", FLOATS)


def run_ranks(folder: Path, count: int, backend: str, floats: int) -> Iterator[Finding]:
    """Start the processes, and say what they found.

    Args:
        folder: Where they meet and write.
        count: Number of processes.
        backend: ``nccl`` for GPUs, ``gloo`` for the CPU.
        floats: Size of the tensor that is added up.
    """
    meeting, result = folder / "ranks_meet", folder / "ranks.json"
    for path in (meeting, result):
        path.unlink(missing_ok=True)
    name = f"{count} processes by {backend}"
    try:
        torch.multiprocessing.spawn(
            _work, (count, backend, floats, str(meeting), str(result)), nprocs=count
        )
        found = json.loads(result.read_text())
    except Exception as error:  # drivers and networks fail in their own ways
        yield Finding(
            name,
            Verdict.WRONG,
            one_line(error),
            "NCCL_DEBUG=INFO says more; NCCL_P2P_DISABLE=1 or NCCL_IB_DISABLE=1 often helps",
        )
        return
    rate = found["bytes_per_second"] / 1e9
    right = found["sum"] == count * (count + 1) / 2
    detail = f"{rate:.1f} GB/s" if right else "the sum is wrong"
    yield Finding.judged(f"all-reduce of {name}", right, detail, figures=found)
    for key, title in (("gradients", "DDP of a backbone and neck"), ("sync_norm", "SyncBN")):
        if found[key] is None:
            yield Finding(f"{title}, {name}", Verdict.NOT_SEEN, "needs GPUs")
            continue
        yield Finding.judged(
            f"{title}, {name}",
            found[key] <= TOLERANCE,
            f"equal to one process on the joint batch to {found[key]:.0e}",
            "train on one GPU, and report this line",
        )


def _work(rank: int, count: int, backend: str, floats: int, meeting: str, result: str) -> None:
    """Do what one process does; the first one writes what was found."""
    device = torch.device("cuda", rank) if backend == "nccl" else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group(backend, f"file://{meeting}", rank=rank, world_size=count)
    try:
        found = {
            **_exchange(rank, count, device, floats),
            "gradients": _gradient_error(rank, count, device),
            "sync_norm": _norm_error(rank, count, device) if device.type == "cuda" else None,
        }
        if rank == 0:
            Path(result).write_text(json.dumps(found))
        dist.barrier()
    finally:
        dist.destroy_process_group()


def _exchange(rank: int, count: int, device: torch.device, floats: int) -> dict[str, float]:
    tensor = torch.full((floats,), float(rank + 1), device=device)
    dist.all_reduce(tensor)
    total = float(tensor[0])
    rounds, synchronise = 5, torch.cuda.synchronize if device.type == "cuda" else lambda: None
    synchronise()
    start = perf_counter()
    for _ in range(rounds):
        dist.all_reduce(tensor)
    synchronise()
    seconds = (perf_counter() - start) / rounds
    # What each process sends in a ring, as NCCL's own tests count it.
    sent = 2 * (count - 1) / count * tensor.numel() * tensor.element_size()
    return {"sum": total, "bytes_per_second": sent / seconds}


class _BackboneAndNeck(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        enable()
        from mmdet.models.necks import FPN

        self.backbone = ConvNeXt("atto")
        self.neck = FPN(list(self.backbone.out_channels), 16, 5)

    def forward(self, image: Tensor) -> Tensor:
        """Return a loss."""
        return sum(level.square().mean() for level in self.neck(self.backbone(image)))


def _joint_batch(count: int, device: torch.device) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(count * SHAPE[0], *SHAPE[1:], generator=generator)
    return images.to(device)


def _own_part(images: Tensor, rank: int) -> Tensor:
    return images[rank * SHAPE[0] : (rank + 1) * SHAPE[0]]


def _gradient_error(rank: int, count: int, device: torch.device) -> float:
    images = _joint_batch(count, device)
    torch.manual_seed(0)
    alone = _BackboneAndNeck().to(device)
    torch.manual_seed(0)
    together = _BackboneAndNeck().to(device)
    alone(images).backward()
    ids = [device.index] if device.type == "cuda" else None
    # Kept until the backward pass is over, in which it exchanges the gradients.
    exchanging = DistributedDataParallel(together, device_ids=ids)
    exchanging(_own_part(images, rank)).backward()
    # Together: the gradient of a single parameter may be nothing but rounding.
    own, want = (
        torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None])
        for net in (together, alone)
    )
    return relative_error([own], [want])


def _norm_error(rank: int, count: int, device: torch.device) -> float:
    images = _joint_batch(count, device)
    want = nn.BatchNorm2d(3).to(device)(images)
    norm = nn.SyncBatchNorm.convert_sync_batchnorm(nn.BatchNorm2d(3)).to(device)
    got = norm(_own_part(images, rank))
    return relative_error([got], [_own_part(want, rank)])
