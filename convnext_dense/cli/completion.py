"""Complete command lines in a shell, by argcomplete."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Sequence

from convnext_dense.cli.output import print_text
from convnext_dense.cli.program import CONSOLE

SHELLS = ("bash", "zsh", "fish")


class PrintCompletionAction(argparse.Action):
    """Print the code that makes a shell complete ``convnext-dense``, and end."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[object] | None,
        option_string: str | None = None,
    ) -> None:
        """Print it for the shell that is the value."""
        import argcomplete

        print_text(argcomplete.shellcode([CONSOLE], shell=str(values)), lines=True)
        parser.exit()


def words_to_complete() -> list[str] | None:
    """Return the words after the program's name if a shell asks for completion, else None."""
    if "_ARGCOMPLETE" not in os.environ:
        return None
    line = os.environ.get("COMP_LINE", "")
    return line[: int(os.environ.get("COMP_POINT", len(line)))].split()[1:]


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer the shell with what may come next, and end the process."""
    import argcomplete

    names, files = _names(), argcomplete.FilesCompleter()
    for action in _actions(parser):
        if action.dest in names:
            action.completer = _completer(  # type: ignore[attr-defined]
                names[action.dest], files if action.dest != "path" else None
            )
    argcomplete.autocomplete(parser, always_complete_options=False)


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _actions(command)
        else:
            yield action


def _completer(names: Sequence[str], files: Callable | None) -> Callable:
    def completions(prefix: str, **_: object) -> list[str]:
        return [*names, *(files(prefix) if files else ())]

    return completions


def _names() -> dict[str, Sequence[str]]:
    """Return the names that an argument takes besides files; those of choices are known without."""
    from convnext_dense.backbone.archs import ARCHS
    from convnext_dense.zoo.recipes import recipes
    from convnext_dense.zoo.weights import WEIGHTS

    of_recipes = [one.partition("/")[2] for one in recipes()]
    return {
        "arch": tuple(ARCHS),
        "backbone": tuple(ARCHS),
        "checkpoint": ("published",),
        "config": of_recipes,
        "path": of_recipes,
        "weights": (*WEIGHTS, "none"),
    }
