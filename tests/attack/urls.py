"""URLs of a server that stalls, lies, cuts off, leads astray and never ends."""

from __future__ import annotations

import gzip
import resource
import socket
import struct
import time
import zlib
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from ground import Ground
from harness import Case, Process, check, run
from judges import refused, succeeded
from kills import difference, load
from pictures import png

TITLE = "URLs"
RIGHT = (
    "The tool ends within two minutes, in one line that names the address; nothing is kept but "
    "whole files, and beside them the part that the next download resumes from, in the cache "
    "alone. A sound file that comes slowly, in pieces or after a redirect is read as it is."
)
SAMPLE = 4  # cases in make test
SLOW = ("urls/weights-stall", "urls/picture-stall")  # never among them
WITHIN = 120.0
MOST_BYTES = 64 * 2**20  # of a file, instead of a full disk
HARMLESS = ("good", "redirected", "chunked", "no-length", "slowly", "resumed")
LYING = ("too-short", "too-long", "huge-length")  # about a file that is whole
TOOLS = ("weights", "picture")


def cases(ground: Ground, seed: int) -> list[Case]:
    """List all behaviours, each for weights and for pictures."""
    listed = []
    for tool in TOOLS:
        for name in BEHAVIOURS:
            listed.append(Case(f"urls/{tool}-{name}", _fetched(ground, tool, name)))
    return listed


class Handler(BaseHTTPRequestHandler):
    """Answers as the first part of the path says; ``content`` is a sound file."""

    content = b""
    asked: dict[str, int] = {}

    def do_GET(self) -> None:
        """Behave."""
        name = self.path.split("/")[1]
        self.asked[name] = self.asked.get(name, 0) + 1
        try:
            BEHAVIOURS[name](self)
        except (BrokenPipeError, ConnectionResetError):
            return
        finally:
            self.close_connection = True

    do_HEAD = do_GET

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def head(self, status: int = 200, **headers: object) -> None:
        """Send the beginning of an answer."""
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), str(value))
        self.end_headers()


def _good(h: Handler) -> None:
    h.head(Content_Length=len(h.content))
    h.wfile.write(h.content)


def _send(h: Handler, content: bytes, length: object = None, **headers: object) -> None:
    if length is not None:
        headers["Content_Length"] = length
    h.head(**headers)
    h.wfile.write(content)


def _endless(h: Handler) -> None:
    h.head()
    h.wfile.write(h.content[:100])
    while True:
        h.wfile.write(bytes(2**20))


def _endless_header(h: Handler) -> None:
    h.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
    for _ in range(10_000):
        h.wfile.write(b"x" * 2**16)


def _many_headers(h: Handler) -> None:
    h.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(100_000)))
    h.wfile.write(b"\r\n")


def _stall(h: Handler) -> None:
    time.sleep(600)


def _stall_in_the_middle(h: Handler) -> None:
    h.head(Content_Length=len(h.content))
    h.wfile.write(h.content[: len(h.content) // 2])
    h.wfile.flush()
    time.sleep(600)


def _slowly(h: Handler) -> None:
    h.head(Content_Length=len(h.content))
    step = len(h.content) // 5 + 1
    for begin in range(0, len(h.content), step):
        h.wfile.write(h.content[begin : begin + step])
        h.wfile.flush()
        time.sleep(0.3)


def _redirect(to: str) -> Callable[[Handler], None]:
    return lambda h: h.head(302, Location=to, Content_Length=0)


def _loop(h: Handler) -> None:
    h.head(302, Location=h.path + "x", Content_Length=0)


def _reset(h: Handler) -> None:
    h.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    h.connection.close()


def _reset_in_the_middle(h: Handler) -> None:
    h.head(Content_Length=len(h.content))
    h.wfile.write(h.content[: len(h.content) // 2])
    h.wfile.flush()
    time.sleep(0.2)
    _reset(h)


def _chunked(h: Handler, cut: bool = False, wrong: bytes = b"") -> None:
    h.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    step = len(h.content) // 4 + 1
    for begin in range(0, len(h.content) // (2 if cut else 1), step):
        part = h.content[begin : begin + step]
        h.wfile.write((wrong or b"%x" % len(part)) + b"\r\n" + part + b"\r\n")
    if not cut:
        h.wfile.write(b"0\r\n\r\n")


def _resumed(h: Handler) -> None:
    """Break off at the first time; go on from where the other asks for."""
    begin = 0
    asked = h.headers.get("Range", "")
    if asked.startswith("bytes="):
        begin = int(asked.removeprefix("bytes=").split("-")[0])
        size = len(h.content)
        h.head(206, Content_Length=size - begin, Content_Range=f"bytes {begin}-{size - 1}/{size}")
        h.wfile.write(h.content[begin:])
    elif h.asked["resumed"] == 1:
        _reset_in_the_middle(h)
    else:
        _good(h)


def _bomb_of_gzip() -> bytes:
    return gzip.compress(bytes(300 * 2**20), 1)


PAGE = b"<!DOCTYPE html><html><body>Please sign in</body></html>"
BEHAVIOURS: dict[str, Callable[[Handler], None]] = {
    "good": _good,
    "redirected": _redirect("/good/file"),
    "chunked": _chunked,
    "no-length": lambda h: _send(h, h.content),
    "slowly": _slowly,
    "resumed": _resumed,
    "endless": _endless,
    "endless-header": _endless_header,
    "many-headers": _many_headers,
    "stall": _stall,
    "stall-in-the-middle": _stall_in_the_middle,
    "too-long": lambda h: _send(h, h.content, len(h.content) + 1000),
    "too-short": lambda h: _send(h, h.content, len(h.content) // 2),
    "half": lambda h: _send(h, h.content[: len(h.content) // 2], len(h.content) // 2),
    "empty": lambda h: _send(h, b"", 0),
    "huge-length": lambda h: _send(h, h.content, 10**18),
    "negative-length": lambda h: _send(h, h.content[:100], -5),
    "no-content": lambda h: h.head(204),
    "not-found": lambda h: h.head(404, Content_Length=0),
    "forbidden": lambda h: h.head(403, Content_Length=0),
    "broken": lambda h: h.head(500, Content_Length=0),
    "page": lambda h: _send(h, PAGE, len(PAGE), Content_Type="text/html"),
    "gzip-bomb": lambda h: _send(h, _bomb_of_gzip(), Content_Encoding="gzip"),
    "png-bomb": lambda h: _send(h, png(100_000, 100_000, data=zlib.compress(bytes(10**6)))),
    "to-a-file": _redirect("file:///etc/passwd"),
    "to-ftp": _redirect("ftp://127.0.0.1/x"),
    "to-nowhere": _redirect("http://127.0.0.1:1/x"),
    "loop": _loop,
    "reset": _reset,
    "reset-in-the-middle": _reset_in_the_middle,
    "cut-chunks": lambda h: _chunked(h, cut=True),
    "wrong-chunks": lambda h: _chunked(h, wrong=b"zz"),
    "garbage": lambda h: h.wfile.write(b"\x00\xff" * 5000),
}


def _serve(taken: socket.socket, content: bytes) -> None:
    Handler.content = content
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = taken
    server.serve_forever()


def _fetched(ground: Ground, tool: str, name: str) -> Callable[[Path], None]:
    def attack(folder: Path) -> None:
        picture = next(iter((ground.seg_data / "images" / "validation").iterdir()))
        source = ground.last["seg"] if tool == "weights" else picture
        here = folder / "here"
        here.mkdir()
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen(16)
            port = taken.getsockname()[1]
            content = source.read_bytes()
            inherited = taken.dup()
            server = Process(lambda: _serve(inherited, content), here, keep=(inherited.fileno(),))
            inherited.close()
        url = f"http://127.0.0.1:{port}/{name}/file{source.suffix}"
        if tool == "weights":
            out = folder / "out.pth"
            call = "weights", ["convert", url, out, "--to", "mmpretrain"]
        else:
            out = folder / "found"
            config = ground.runs["seg"] / "tiny_seg.py"
            saved = ("--save", "masks")
            call = "infer", [config, ground.last["seg"], url, "-o", out, *saved]
        cache = folder / "cache"
        try:
            outcome = run(*call, here, WITHIN, prepare=_little_room, env=_environment(cache))
            if name == "resumed" and outcome.status == 1:  # the same call again continues
                outcome = run(*call, here, WITHIN, prepare=_little_room, env=_environment(cache))
        finally:
            server.send(9)
            server.wait()
        check(not list(here.iterdir()), f"it leaves {list(here.iterdir())}")
        kept = [p for p in cache.rglob(f"[!.]*{source.suffix}") if p.is_file()]
        whole = [path.read_bytes() == content for path in kept]
        if outcome.status == 0:
            check(name in (*HARMLESS, *LYING), f"it takes {name}: {outcome}")
            succeeded(outcome)
            _as_from_disk(ground, tool, source, out, folder)
        else:
            refused(outcome, url, f"127.0.0.1:{port}")
            check(name not in HARMLESS, f"a sound file is refused: {outcome}")
        check(all(whole), f"what is kept is not whole: {kept}; {outcome}")

    return attack


def _as_from_disk(ground: Ground, tool: str, source: Path, out: Path, folder: Path) -> None:
    expected = folder / "expected"
    if tool == "weights":
        expected = expected.with_suffix(".pth")
        succeeded(run("weights", ["convert", source, expected, "--to", "mmpretrain"], folder))
        # Where a file came from may stand beside its parameters.
        states = [load(path)["state_dict"] for path in (expected, out)]
        where = difference(*map(dict, states), "state_dict")
        check(not where, f"another {where} than that of the file")
    else:
        config = ground.runs["seg"] / "tiny_seg.py"
        argv = [config, ground.last["seg"], source, "-o", expected, "--save", "masks"]
        succeeded(run("infer", argv, folder))
        masks = [sorted(p.read_bytes() for p in f.rglob("*.png")) for f in (expected, out)]
        check(masks[0] and masks[0] == masks[1], "another mask than that of the file")


def _little_room() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (MOST_BYTES, MOST_BYTES))


def _environment(cache: Path) -> dict[str, str]:
    proxies = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "https_proxy", "HTTPS_PROXY")
    return dict(TORCH_HOME=str(cache), no_proxy="*", **dict.fromkeys(proxies, ""))
