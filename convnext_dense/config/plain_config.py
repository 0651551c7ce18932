"""Read a config of a work directory without running it, since its sender may not be trusted."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path

from mmengine.config import Config

# mmengine writes these floats as names.
_NAMES = {"inf": float("inf"), "nan": float("nan")}


def read_plain_config(file: Path) -> Config:
    """Read a config of plain assignments, as mmengine writes those of a run.

    Args:
        file: A Python config without ``_base_``, imports or calls other than ``dict(...)``.

    Raises:
        ValueError: If it is not plain data; the message names the line.
        OSError: If it could not be read.
    """
    try:
        return Config(
            parse_plain_config(file.read_text(encoding="utf-8"), file), filename=str(file)
        )
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: {error}") from error


def parse_plain_config(text: str, file: str | Path) -> dict:
    """Read the text of a config of plain assignments: see :func:`read_plain_config`.

    Raises:
        ValueError: If it is not plain data; the message names ``file`` and the line.
    """
    content = {}
    try:
        for node in ast.parse(text, str(file)).body:
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                continue  # a docstring
            if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
                raise _Unplain(node)
            content[node.targets[0].id] = _value(node.value)
        if "_base_" in content:
            raise ValueError("it inherits from other configs by _base_")
        Config(content)  # raises an error for reserved keys
        return content
    except _Unplain as error:
        line = getattr(error.node, "lineno", "?")
        raise ValueError(
            f"{file}, line {line}: {ast.unparse(error.node)[:60]!r} is not plain data"
        ) from None
    except (SyntaxError, ValueError, TypeError, KeyError, RecursionError, MemoryError) as error:
        raise ValueError(f"{file}: {error or type(error).__name__}") from error


class _Unplain(Exception):
    """A node of the syntax tree is not plain data."""

    def __init__(self, node: ast.AST) -> None:
        self.node = node


def _value(node: ast.AST) -> object:
    match node:
        case ast.Constant():
            return node.value
        case ast.Name(id=name) if name in _NAMES:
            return _NAMES[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            number = _value(operand)
            if isinstance(number, int | float):
                return -number
        case ast.List(elts=items):
            return [_value(item) for item in items]
        case ast.Tuple(elts=items):
            return tuple(map(_value, items))
        case ast.Set(elts=items) if all(isinstance(item, ast.Constant) for item in items):
            return {_value(item) for item in items}
        case ast.Dict(keys=keys, values=values) if None not in keys:  # None is the key of **
            named = (_value(key) for key in keys if key)
            return _dict(zip(named, values, strict=True))
        case ast.Call(func=ast.Name(id="dict"), args=[], keywords=keywords) if all(
            keyword.arg for keyword in keywords
        ):
            return _dict((keyword.arg, keyword.value) for keyword in keywords)
        case ast.Call(func=ast.Name(id="float"), args=[ast.Constant(value=str() as text)]):
            return float(text)
    raise _Unplain(node)


def _dict(items: Iterable[tuple[object, ast.AST]]) -> dict:
    return {key: _value(value) for key, value in items}
