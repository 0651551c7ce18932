"""The experiment trackers that mmengine can log to, and what each needs before a run."""

from __future__ import annotations

import contextlib
import netrc
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from convnext_dense.ranks import rank
from convnext_dense.text import nearest_first

# The project or experiment of a run, unless the tracker's own variable names one.
PROJECT = "convnext-dense"
_HOST_OF_WANDB = "api.wandb.ai"


@dataclass(frozen=True)
class Tracker:
    """A place to log to.

    Attributes:
        backend: The class of mmengine that writes there.
        modules: What that class imports.
        arguments: Function from a work directory to the arguments of the class.
        login: Function that returns how to log in, or None if that was done.
    """

    backend: str
    modules: tuple[str, ...]
    arguments: Callable[[str], dict] = lambda work_dir: {}
    login: Callable[[], str | None] = lambda: None


def _wandb(work_dir: str) -> dict:
    return dict(init_kwargs=dict(project=os.environ.get("WANDB_PROJECT", PROJECT)))


def _wandb_login() -> str | None:
    import wandb

    settings = wandb.setup().settings  # of its variables and files
    if settings.mode in ("offline", "dryrun", "disabled"):
        return None
    hosts = {urlsplit(settings.base_url).hostname or "", _HOST_OF_WANDB}
    if settings.api_key or settings.identity_token_file or _is_in_netrc(hosts):
        return None
    return "run `wandb login`, set WANDB_API_KEY, or set WANDB_MODE=offline"


def _is_in_netrc(hosts: set[str]) -> bool:
    """Whether the user's file of logins has one for a host."""
    names = [os.environ.get("NETRC"), "~/.netrc", "~/_netrc"]
    for name in filter(None, names):
        with contextlib.suppress(OSError, netrc.NetrcParseError):
            if hosts & netrc.netrc(Path(name).expanduser()).hosts.keys():
                return True
    return False


def _mlflow(work_dir: str) -> dict:
    name = dict(exp_name=os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT))
    server = os.environ.get("MLFLOW_TRACKING_URI")
    if server:
        return dict(name, tracking_uri=server)
    # mmengine's own default are plain files, which MLflow has refused since its version 3.
    folder = Path(work_dir).absolute()
    return dict(
        name,
        tracking_uri=f"sqlite:///{folder}/mlflow.db",
        artifact_location=f"{folder}/mlruns",
        artifact_suffix=(),  # the files of the run are in this folder already
    )


def _clearml(work_dir: str) -> dict:
    return dict(init_kwargs=dict(project_name=PROJECT, task_name=Path(work_dir).name))


def _clearml_login() -> str | None:
    if os.environ.get("CLEARML_OFFLINE_MODE", "0") not in ("", "0"):
        return None
    file = os.environ.get("CLEARML_CONFIG_FILE", "~/clearml.conf")
    if os.environ.get("CLEARML_API_ACCESS_KEY") or Path(file).expanduser().is_file():
        return None
    return (
        "run `clearml-init`, set CLEARML_API_ACCESS_KEY and its secret, or CLEARML_OFFLINE_MODE=1"
    )


def _aim(work_dir: str) -> dict:
    return dict(init_kwargs=dict(repo=work_dir))


def _neptune(work_dir: str) -> dict:
    mode = "async" if os.environ.get("NEPTUNE_API_TOKEN") else "offline"
    return dict(init_kwargs=dict(mode=os.environ.get("NEPTUNE_MODE", mode)))


TRACKERS = {
    "tensorboard": Tracker("TensorboardVisBackend", ("tensorboard",)),
    "wandb": Tracker("WandbVisBackend", ("wandb",), _wandb, _wandb_login),
    "mlflow": Tracker("MLflowVisBackend", ("mlflow",), _mlflow),
    "clearml": Tracker("ClearMLVisBackend", ("clearml",), _clearml, _clearml_login),
    "aim": Tracker("AimVisBackend", ("aim",), _aim),
    "neptune": Tracker("NeptuneVisBackend", ("neptune",), _neptune),
    "dvclive": Tracker("DVCLiveVisBackend", ("dvclive", "pygit2")),
}


def find_trackers(names: Iterable[str]) -> dict[str, Tracker]:
    """Return the trackers of these names, by name, after a check that each can be written to.

    Raises:
        ImportError: If a package is missing; the message has the command that installs it.
        ValueError: If there is no such tracker, or it has no login.
    """
    return {name.strip(): _ready(name.strip()) for name in names}


def _ready(name: str) -> Tracker:
    if name not in TRACKERS:
        nearest = ", ".join(nearest_first(name, TRACKERS))
        raise ValueError(f"`log={name!r}`: there is no such tracker, take {nearest}")
    tracker = TRACKERS[name]
    missing = [module for module in tracker.modules if find_spec(module) is None]
    if missing:
        raise ImportError(
            f"`log={name!r}` needs {', '.join(missing)}: pip install 'convnext-dense[{name}]'"
        )
    login = tracker.login() if rank() == 0 else None  # only rank 0 logs
    if login:
        raise ValueError(f"`log={name!r}` has no login: {login}")
    return tracker
