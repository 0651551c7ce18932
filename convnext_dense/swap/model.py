"""The model of a config while its backbone is swapped."""

from __future__ import annotations

from dataclasses import dataclass

from convnext_dense.swap.edits import Edits
from convnext_dense.swap.probe import Pyramid


@dataclass(frozen=True)
class Model:
    """A model whose backbone is swapped.

    Attributes:
        edits: Records the changes.
        part: The dict that holds the backbone; its necks and heads are changed.
        path: Its dotted key in the config.
        scope: ``mmdet`` or ``mmseg``.
        old: The maps of the old backbone.
        widths: Channels of each stage of the new backbone.
    """

    edits: Edits
    part: dict
    path: str
    scope: str
    old: Pyramid
    widths: tuple[int, ...]

    @property
    def necks(self) -> list[dict]:
        """The necks, of which the first reads the backbone's maps."""
        neck = self.part.get("neck") or []
        return list(neck) if isinstance(neck, (list, tuple)) else [neck]

    @property
    def first_neck(self) -> tuple[str, dict]:
        """The first neck, after its dotted key."""
        is_listed = isinstance(self.part["neck"], (list, tuple))
        return f"{self.path}.neck" + ".0" * is_listed, self.necks[0]

    def set_necks(self, necks: list[dict], why: str) -> None:
        """Put these in the place of the necks."""
        value = necks if len(necks) > 1 else next(iter(necks), None)
        self.edits.set(self.path, self.part, "neck", value, why)

    def strides(self, positions: tuple[int, ...]) -> tuple[int, ...]:
        """Return the strides of the old maps at some positions."""
        return tuple(self.old.strides[p] for p in positions)
