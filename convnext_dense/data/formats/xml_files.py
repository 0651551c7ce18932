"""Read XML that somebody else wrote: no entities, no DTD, nothing fetched."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

_ROOT = re.compile(rb"<([A-Za-z_][\w.-]*)")
_HEAD = 4096  # bytes in which the root is expected


def root_tag(path: Path) -> str:
    """Return the name of a file's first element, or "" if it has none near the beginning."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD).replace(b"\0", b"")  # so that UTF-16 is read too
    except OSError:
        return ""
    found = _ROOT.search(re.sub(rb"<!--.*?-->", b"", head, flags=re.DOTALL))
    return found[1].decode() if found else ""


def read_xml(path: Path) -> Element:
    """Return the root of a small XML file.

    A file that states no encoding and is not UTF-8 is read as Latin-1.

    Raises:
        ValueError: If it is not XML, or has entities.
        OSError: If it cannot be read.
    """
    from defusedxml.ElementTree import fromstring

    content = path.read_bytes()
    with _naming(path):
        try:
            return fromstring(content)
        except ParseError:
            if _is_utf8(content):
                raise
            return fromstring(content.decode("latin-1"))


def iterate_xml(path: Path, tags: tuple[str, ...]) -> Iterator[Element]:
    """Yield the elements of some tags below the root of a large file, one at a time.

    An element is cleared when the next one is asked for, so that memory stays bounded.

    Raises:
        ValueError: If it is not XML, or has entities.
        OSError: If it cannot be read.
    """
    from defusedxml.ElementTree import iterparse

    above: list[Element] = []
    with path.open("rb") as file, _naming(path):
        for event, element in iterparse(file, events=("start", "end")):
            if event == "start":
                above.append(element)
                continue
            above.pop()
            if len(above) == 1:
                if element.tag in tags:
                    yield element
                above[0].clear()


def text_of(element: Element, tag: str, default: str = "") -> str:
    """Return the text of an element's child without white space around it."""
    return (element.findtext(tag) or "").strip() or default


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn the errors of a parser into one that names the file."""
    from defusedxml import DefusedXmlException

    try:
        yield
    except DefusedXmlException as error:
        raise ValueError(f"{path} has XML entities, which no data set needs") from error
    except (ParseError, ValueError, LookupError) as error:
        raise ValueError(f"{path} is not XML: {' '.join(str(error).split())}") from error


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True
