"""Fixtures that several rooms share."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import subprocess
from pathlib import Path

import pytest
import torch

from convnext_dense.kernels import onednn

# More threads only fight each other on maps this small.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture(scope="session", autouse=True)
def _fast_at_any_size():
    """The tests' maps are so small that plain torch would compute them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onednn, "is_worthwhile", lambda x, dtype: True)
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real data sets beside the checkout."""
    root = Path(__file__).parents[2] / "shared" / "data"
    if not root.is_dir():
        pytest.skip(f"{root} is not there")
    return root


@pytest.fixture
def randomise():
    """Fill a network with weights under which every parameter matters to every output."""

    def fill(net: torch.nn.Module) -> torch.nn.Module:
        with torch.no_grad():
            for name, param in net.named_parameters():
                if param.ndim > 1:
                    param.normal_(std=param[0].numel() ** -0.5)
                elif name.endswith(".weight") or name.endswith(".gamma"):
                    param.uniform_(0.5, 1.5)
                else:
                    param.normal_(std=0.1)
        return net

    return fill


@pytest.fixture
def small_disk():
    """Let no file grow beyond a number of bytes: ``with small_disk(100): ...``.

    Within the block alone, since pytest's own output may go to a file.
    """

    @contextlib.contextmanager
    def limit(size: int):
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limit


@pytest.fixture
def free_port() -> str:
    """A port of this machine for the processes of a group to meet at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


@pytest.fixture
def two_ranks(free_port):
    """Run one command as two ranks; give what each of them said, and fail where one failed."""

    def run(*command: str, **env: str) -> list[str]:
        env |= dict(WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=free_port)
        ranks = [
            subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env=os.environ | env | dict(OMP_NUM_THREADS="1", RANK=rank, LOCAL_RANK=rank),
            )
            for rank in "01"
        ]
        try:
            said = [rank.communicate(timeout=120)[0] for rank in ranks]
        finally:
            for rank in ranks:
                rank.kill()
        assert [rank.returncode for rank in ranks] == [0, 0], "\n".join(said)
        return said

    return run
