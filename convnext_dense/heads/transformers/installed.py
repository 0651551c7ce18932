"""Check that transformers is there, and new enough."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from convnext_dense.extras import EXTRAS

# The oldest one that this was tried with.
NEEDED = "5.20"


def check_installed() -> None:
    """Check the installed version of transformers.

    Raises:
        ImportError: If there is none, or it is older than :data:`NEEDED`.
    """
    needs = f"the heads of transformers need transformers {NEEDED} or newer"
    remedy = f"pip install 'convnext-dense[{EXTRAS['transformers']}]'"
    try:
        found = version("transformers")
    except PackageNotFoundError:
        raise ImportError(f"{needs}: {remedy}") from None
    from packaging.version import Version  # which transformers needs itself

    if Version(found) < Version(NEEDED):
        raise ImportError(f"{needs}, found {found}: {remedy}")
