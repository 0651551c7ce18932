"""Download files over HTTP, with time-outs, a size limit, and continuation of broken downloads."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import re
import socket
import ssl
import tempfile
import threading
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from convnext_dense.files import as_write_error
from convnext_dense.version import __version__

# Size limits in bytes. The largest published ConvNeXt has 2.7 GB, or 8 GB with optimizer state.
PICTURE = 256 * 2**20
WEIGHTS = 16 * 2**30
# How long to wait for a connection, for an answer and for each further part, in seconds; and the
# least speed in bytes per second.
PATIENCE = 30.0
SLOWEST = 1024
# Number of tries. Only a server that supports it can continue a download.
TRIES = 4
BLOCK = 1 << 20
SCHEMES = ("http", "https")


class _BrokenOff(Exception):
    """A connection ended early; the download may be continued."""


class _StalledError(_BrokenOff):
    """A connection delivered too little for too long; there is no further try."""


class _TooLargeError(Exception):
    """A file is larger than the limit; nothing of it is kept."""


def fetch(url: str, path: Path, *, limit: int, show: bool = False) -> None:
    """Download a file, or the rest of a file whose download broke off.

    If a download fails and the server can continue it, the received part is kept. The next call
    continues it if the file has not changed.

    Args:
        url: URL with ``http`` or ``https``, or ``file`` for a local file. Redirects must lead to
            ``http`` or ``https``.
        path: File to write. The file ``NAME.from`` beside it exists until the download is complete.
        limit: Largest allowed size in bytes.
        show: Whether to show a progress bar.

    Raises:
        ConnectionError: If the file could not be downloaded, takes too long or is too large.
        WriteError: If it could not be written.
    """
    origin = path.with_name(f"{path.name}.from")
    for _ in range(TRIES):
        try:
            _take_up(url, path, origin, limit, show)
        except _TooLargeError:
            path.unlink(missing_ok=True)
            origin.unlink(missing_ok=True)
            raise ConnectionError(
                f"could not download {url}: it is larger than the {limit / 2**20:g} MiB that are "
                "allowed; get it by other means and give the path"
            ) from None
        except _BrokenOff as error:
            reason = str(error)
            if isinstance(error, _StalledError) or not origin.exists():
                break
        else:
            origin.unlink(missing_ok=True)
            return
    kept = path.stat().st_size if origin.exists() and path.exists() else 0
    if not kept:
        origin.unlink(missing_ok=True)
    hint = f"; {kept} bytes are kept, and the next try continues from there" if kept else ""
    raise ConnectionError(f"could not download {url}: {reason}{hint}")


def fetch_picture(url: str) -> bytes:
    """Download a picture, and return the bytes of the file.

    Raises:
        ConnectionError: If it could not be downloaded, takes too long or is too large.
    """
    with tempfile.TemporaryDirectory(prefix="picture-") as folder:
        path = Path(folder, "picture")
        fetch(url, path, limit=PICTURE)
        return path.read_bytes()


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _take_up(url: str, path: Path, origin: Path, limit: int, show: bool) -> None:
    start, asked = _what_is_there(url, path, origin)
    with _Watch() as watch:
        try:
            request = urllib.request.Request(url, headers=asked)
            response = _opener(watch).open(request, timeout=PATIENCE)
        except HTTPError as error:
            if start and error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise _not_of_this_file(path) from error
            raise ConnectionError(f"could not download {url}: {error}") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _broken_off(error, watch) from error
        with response:
            size, total = _announced(response, start, path)
            if total is not None and total > limit:
                raise _TooLargeError
            # A file that cannot be written is no fault of the connection.
            writing = as_write_error(path, "the received part is kept")
            with writing, path.open("ab" if size else "wb") as file:
                _remember(url, response, origin)
                bar = _bar(path.name, size, total) if show else contextlib.nullcontext()
                with bar as advance:
                    for block in _blocks(response, watch):
                        size += len(block)
                        if size > limit:
                            raise _TooLargeError
                        file.write(block)
                        if advance:
                            advance(len(block))
    if total is not None and size < total:
        raise _BrokenOff(f"it ended after {size} of {total} bytes")


def _what_is_there(url: str, path: Path, origin: Path) -> tuple[int, dict[str, str]]:
    """Return the size of the received part, and headers that ask for the rest of the same file."""
    headers = {"User-Agent": f"convnext_dense/{__version__}", "Accept-Encoding": "identity"}
    size = path.stat().st_size if path.is_file() else 0
    where, _, mark = origin.read_text().partition("\n") if origin.is_file() else ("", "", "")
    if not size or where != url or not mark:
        return 0, headers
    return size, headers | {"Range": f"bytes={size}-", "If-Range": mark}


def _announced(
    response: http.client.HTTPResponse, start: int, path: Path
) -> tuple[int, int | None]:
    """Return where the answer begins in the file, and the file's size or None."""
    stated = response.headers.get("Content-Length") or ""
    length = int(stated) if stated.isdecimal() else None
    if start and response.status == HTTPStatus.PARTIAL_CONTENT:
        content = response.headers.get("Content-Range") or ""
        found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", content.strip())
        if not found or int(found[1]) != start:
            raise _not_of_this_file(path)
        return start, int(found[3]) if found[3] != "*" else int(found[2]) + 1
    return 0, length


def _remember(url: str, response: http.client.HTTPResponse, origin: Path) -> None:
    """Record the server's mark of the file's version, by which a later try detects a change."""
    tag = response.headers.get("ETag") or ""
    mark = tag if tag.startswith('"') else response.headers.get("Last-Modified")
    if mark and urlsplit(url).scheme in SCHEMES:
        origin.write_text(f"{url}\n{mark}")
    else:
        origin.unlink(missing_ok=True)


def _blocks(response: http.client.HTTPResponse, watch: _Watch) -> Iterator[bytes]:
    while True:
        try:
            block = response.read1(BLOCK)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _broken_off(error, watch) from error
        if not block:
            if watch.is_stalled:
                raise _broken_off(TimeoutError(), watch)
            return
        watch.received += len(block)
        yield block


def _broken_off(error: Exception, watch: _Watch) -> _BrokenOff:
    reason = getattr(error, "reason", error) if isinstance(error, URLError) else error
    if watch.is_stalled or isinstance(reason, TimeoutError):
        return _StalledError(f"nothing or too little came for {PATIENCE:g} seconds")
    return _BrokenOff(" ".join(str(reason).split()) or type(reason).__name__)


def _not_of_this_file(path: Path) -> _BrokenOff:
    path.unlink()
    return _BrokenOff("the server cannot continue the part that was kept")


@contextlib.contextmanager
def _bar(name: str, done: int, total: int | None) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    text = TextColumn("{task.description}", markup=False)
    columns = text, BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(name, total=total, completed=done)
        yield partial(progress.advance, task)


class _Watch:
    """Ends a connection that delivers nothing or too little, at any stage of the download."""

    def __init__(self) -> None:
        self.received = 0
        self.is_stalled = False
        self.connection: socket.socket | None = None
        self._done = threading.Event()

    def __enter__(self) -> _Watch:
        threading.Thread(target=self._look, daemon=True, name="download watch").start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()

    def _look(self) -> None:
        before = 0
        while not self._done.wait(PATIENCE):
            if self.received - before < SLOWEST * PATIENCE and self.connection is not None:
                self.is_stalled = True
                with contextlib.suppress(OSError):
                    self.connection.shutdown(socket.SHUT_RDWR)
                return
            before = self.received


class _Watched(http.client.HTTPConnection):
    """A connection that passes its socket to a watch."""

    def __init__(self, *args: Any, watch: _Watch, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._watch = watch

    def connect(self) -> None:
        super().connect()
        self._watch.connection = self.sock


class _WatchedHTTPS(_Watched, http.client.HTTPSConnection):
    pass


class _Handler(urllib.request.HTTPHandler):
    def __init__(self, watch: _Watch) -> None:
        super().__init__()
        self._watch = watch

    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(partial(_Watched, watch=self._watch), request)

    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        context = ssl.create_default_context()
        return self.do_open(partial(_WatchedHTTPS, watch=self._watch, context=context), request)

    https_request = urllib.request.HTTPHandler.http_request


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if urlsplit(newurl).scheme not in SCHEMES:
            raise HTTPError(req.full_url, code, f"it redirects to {newurl}", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener(watch: _Watch) -> urllib.request.OpenerDirector:
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.FileHandler(),  # only for the URL itself: no redirect leads to a file
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(),
        _Handler(watch),
    ):
        opener.add_handler(handler)
    return opener
