"""Write a swapped config as a person would: a base, and only the lines that change."""

from __future__ import annotations

import json
import math
import os
import re
import unicodedata
from keyword import iskeyword
from pathlib import Path

from mmengine.config import Config

from convnext_dense.files import replacing
from convnext_dense.swap.plan import Swap
from convnext_dense.text import printable

DELETE = "_delete_"
# What mmengine adds to every dict of a base that is named as `mmdet::...`.
SCOPE = "_scope_"
STYLE = (
    "{based_on_style: pep8, column_limit: 99, disable_ending_comma_heuristic: true, "
    "coalesce_brackets: true, split_before_first_argument: true, dedent_closing_brackets: true}"
)


def delta(old: dict, new: dict) -> dict:
    """Return the dict that, merged into ``old`` by mmengine's rules for ``_base_``, makes ``new``.

    Args:
        old: The base; every key of it is in ``new`` at the top level.
        new: What shall come out.

    Example:
        >>> delta({'a': 1, 'b': {'c': 2, 'd': 3}}, {'a': 1, 'b': {'c': 5, 'd': 3}})
        {'b': {'c': 5}}
        >>> delta({'b': {'c': 2, 'd': 3}}, {'b': {'c': 2}})
        {'b': {'_delete_': True, 'c': 2}}
    """
    changed = {}
    for key, value in new.items():
        if key not in old:
            changed[key] = value
        elif not _same(old[key], value):
            changed[key] = _replacement(old[key], value)
    return changed


def _replacement(old: object, new: object) -> object:
    if not isinstance(new, dict):
        return new
    if isinstance(old, dict) and set(old) <= set(new) and old.get("type") == new.get("type"):
        return delta(old, new)
    return {DELETE: True, **new}


def _same(a: object, b: object) -> bool:
    """Compare with types, since mmdet and mmseg tell lists from tuples."""
    if isinstance(a, dict) and isinstance(b, dict):
        keys = a.keys() - {SCOPE}
        return keys == b.keys() - {SCOPE} and all(_same(a[key], b[key]) for key in keys)
    if isinstance(a, (list, tuple)) and type(a) is type(b):
        return len(a) == len(b) and all(map(_same, a, b))
    return type(a) is type(b) and a == b


def write_config(swap: Swap, original: Config, base: str, path: Path, command: str) -> None:
    """Write a swapped config, and make sure that it reads back as the same.

    Args:
        swap: The swap.
        original: The config before.
        base: How the original was named: a path, or ``mmdet::...``.
        path: The file to write; a file that exists is left alone.
        command: The command line, for the first lines of the file.

    Raises:
        FileExistsError: Where the file is there already.
        RuntimeError: Where the config cannot be written as a file, such as one with functions.
    """
    if path.exists():
        raise FileExistsError(f"{path} exists; choose another name or remove it")
    new, old = swap.config.to_dict(), original.to_dict()
    if _is_pure_python(original):
        content = new
    else:
        where = base if "::" in base else os.path.relpath(base, path.parent)
        content = {"_base_": where, **delta(old, new)}
    notes = [f"Written by: {command}", *(f"Note: {message}" for message in swap.warnings)]
    text = "\n".join([*map(_comment, notes), "", as_source(content)])
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8")
        read = Config.fromfile(draft, import_custom_modules=False).to_dict()
        wrong = [key for key in new if not _same(read.get(key), new[key])]
        if wrong:
            raise RuntimeError(f"{path} would not read back as the same config: {', '.join(wrong)}")


def _comment(text: str) -> str:
    """Return a line of comment that no character of the text ends, and no program reads.

    Python takes ``coding:`` in the first lines for the file's encoding, and mmengine puts the
    values of variables into ``{{ }}`` wherever it stands.
    """
    return "# " + re.sub(r"coding([:=])", r"coding \1", printable(text)).replace("{{", "{ {")


def as_source(content: dict) -> str:
    """Write assignments as a person would: ``dict(...)``, and lists on one line where they fit.

    Example:
        >>> print(as_source(dict(model=dict(neck=dict(in_channels=[1, 2])))), end='')
        model = dict(neck=dict(in_channels=[1, 2]))
    """
    from yapf.yapflib.yapf_api import FormatCode

    if wrong := [key for key in content if not _is_name(key)]:
        raise RuntimeError(f"the config cannot be written as a file: {wrong[0]!r} is not a name")
    text = "\n".join(f"{key} = {_expression(value, key)}" for key, value in content.items())
    return FormatCode(text, style_config=STYLE)[0]


def _expression(value: object, path: str) -> str:
    if isinstance(value, dict):
        items = [(key, _expression(item, f"{path}.{key}")) for key, item in value.items()]
        if all(map(_is_name, value)):
            return f"dict({', '.join(f'{key}={item}' for key, item in items)})"
        return f"{{{', '.join(f'{_expression(key, path)}: {item}' for key, item in items)}}}"
    if isinstance(value, (list, tuple)) and type(value) in (list, tuple):
        texts = [_expression(item, f"{path}.{i}") for i, item in enumerate(value)]
        if type(value) is list:
            return f"[{', '.join(texts)}]"
        return f"({', '.join(texts)}{',' if len(value) == 1 else ''})"
    if isinstance(value, float) and not math.isfinite(value):
        return f"float('{value}')"
    if isinstance(value, str):
        # Both are literals of Python; the first is in double quotes.
        return json.dumps(value, ensure_ascii=False) if value.isprintable() else repr(value)
    if value is None or isinstance(value, (bytes, bool, int, float)):
        return repr(value)
    raise RuntimeError(f"the config cannot be written as a file: {path} is {value!r}")


def _is_name(key: object) -> bool:
    # Python takes names of equal normal form for the same.
    return (
        isinstance(key, str)
        and key.isidentifier()
        and not iskeyword(key)
        and key == unicodedata.normalize("NFKC", key)
    )


def _is_pure_python(cfg: Config) -> bool:
    """Return mmengine's newer style, which a ``_base_`` cannot name."""
    return bool(cfg.filename) and Config._is_lazy_import(cfg.filename)
