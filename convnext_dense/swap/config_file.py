"""Write a swapped config as a short file: a base, and only the keys that change."""

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
# mmengine adds this key to every dict of a base with a name such as `mmdet::...`.
SCOPE = "_scope_"
STYLE = (
    "{based_on_style: pep8, column_limit: 99, disable_ending_comma_heuristic: true, "
    "coalesce_brackets: true, split_before_first_argument: true, dedent_closing_brackets: true}"
)


def config_difference(old: dict, new: dict) -> dict:
    """Return the dict that turns ``old`` into ``new`` by mmengine's rules for ``_base_``.

    Args:
        old: The base. At the top level, ``new`` has all of its keys.
        new: The config that must result.

    Example:
        >>> config_difference({'a': 1, 'b': {'c': 2, 'd': 3}}, {'a': 1, 'b': {'c': 5, 'd': 3}})
        {'b': {'c': 5}}
        >>> config_difference({'b': {'c': 2, 'd': 3}}, {'b': {'c': 2}})
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
        return config_difference(old, new)
    return {DELETE: True, **new}


def _same(a: object, b: object) -> bool:
    """Compare values and their types, since lists and tuples mean different things to mmdet."""
    if isinstance(a, dict) and isinstance(b, dict):
        keys = a.keys() - {SCOPE}
        return keys == b.keys() - {SCOPE} and all(_same(a[key], b[key]) for key in keys)
    if isinstance(a, (list, tuple)) and type(a) is type(b):
        return len(a) == len(b) and all(map(_same, a, b))
    return type(a) is type(b) and a == b


def write_config(swap: Swap, original: Config, base: str, path: Path, command: str) -> None:
    """Write a swapped config, and check that reading it returns the same config.

    Args:
        swap: The swap.
        original: The config before the swap.
        base: Name of the original: a path, or ``mmdet::...``.
        path: The file to write.
        command: The command line, for a comment at the top of the file.

    Raises:
        FileExistsError: If the file exists.
        RuntimeError: If the config cannot be written as a file, such as one with functions.
    """
    if path.exists():
        raise FileExistsError(f"{path} exists; choose another name or remove it")
    new, old = swap.config.to_dict(), original.to_dict()
    if _is_pure_python(original):
        content = new
    else:
        where = base if "::" in base else os.path.relpath(base, path.parent)
        content = {"_base_": where, **config_difference(old, new)}
    notes = [f"Written by: {command}", *(f"Note: {message}" for message in swap.warnings)]
    text = "\n".join([*map(_comment, notes), "", as_source(content)])
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8")
        read = Config.fromfile(draft, import_custom_modules=False).to_dict()
        wrong = [key for key in new if not _same(read.get(key), new[key])]
        if wrong:
            raise RuntimeError(f"{path} would not read back as the same config: {', '.join(wrong)}")


def _comment(text: str) -> str:
    """Return a text as one line of comment that Python and mmengine do not interpret.

    Python reads ``coding:`` in the first lines as the file's encoding, and mmengine replaces
    ``{{ }}`` everywhere by values of variables.
    """
    return "# " + re.sub(r"coding([:=])", r"coding \1", printable(text)).replace("{{", "{ {")


def as_source(content: dict) -> str:
    """Return assignments as formatted Python code with ``dict(...)``, as configs are written.

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
        # Both are Python literals, but JSON's has double quotes.
        return json.dumps(value, ensure_ascii=False) if value.isprintable() else repr(value)
    if value is None or isinstance(value, (bytes, bool, int, float)):
        return repr(value)
    raise RuntimeError(f"the config cannot be written as a file: {path} is {value!r}")


def _is_name(key: object) -> bool:
    # Python treats names with the same normal form as one name.
    return (
        isinstance(key, str)
        and key.isidentifier()
        and not iskeyword(key)
        and key == unicodedata.normalize("NFKC", key)
    )


def _is_pure_python(cfg: Config) -> bool:
    """Whether a config is in mmengine's newer style, which ``_base_`` cannot inherit from."""
    return bool(cfg.filename) and Config._is_lazy_import(cfg.filename)
