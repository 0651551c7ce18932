"""Downloads against a server on the loopback address that does what servers should not."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convnext_dense import download
from convnext_dense.download import fetch, fetch_picture, sha256_of
from convnext_dense.files import WriteError

CONTENT = bytes(range(256)) * 400
CHUNKED = b"%x\r\n" % 10**6 + b"x" * 10**6 + b"\r\n0\r\n\r\n"
ETAG = '"one"'


class Server:
    """Answers each request with the next function of ``answers``, the last one for all others."""

    def __init__(self, monkeypatch):
        self.answers, self.ranges = [], []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self.close_connection = True
                outer.ranges.append(self.headers.get("Range"))
                answer = outer.answers.pop(0) if len(outer.answers) > 1 else outer.answers[0]
                answer(self)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}/a.bin"


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = Server(monkeypatch)
    yield server
    server.http.shutdown()
    server.http.server_close()


def respond(status=200, body=CONTENT, **headers):
    def answer(handler):
        handler.send_response(status)
        for name, value in ({"Content_Length": len(body)} | headers).items():
            if value is not None:
                handler.send_header(name.replace("_", "-"), str(value))
        handler.end_headers()
        with contextlib.suppress(OSError):
            handler.wfile.write(body)

    return answer


def rest(handler):
    """What a server that can go on answers."""
    asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range") or "")
    start = int(asked[1]) if asked and handler.headers["If-Range"] == ETAG else 0
    where = f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}" if start else None
    respond(206 if start else 200, CONTENT[start:], ETag=ETAG, Content_Range=where)(handler)


def cut(at, **headers):
    return respond(body=CONTENT[:at], Content_Length=len(CONTENT), **headers)


def slow(seconds, piece=b"x"):
    """A body of which a byte comes now and then, for ever."""

    def answer(handler):
        handler.send_response(200)
        handler.send_header("Content-Type", "image/png")
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(piece)
                time.sleep(seconds)
        except OSError:
            pass

    return answer


def silent(handler):
    handler.rfile.read(1)  # until the other side has had enough


def drip(handler):
    """Headers of which a letter comes now and then, for ever."""
    try:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
        while True:
            handler.wfile.write(b"x")
            time.sleep(0.05)
    except OSError:
        pass


def test_a_whole_file(server, tmp_path):
    server.answers = [respond()]
    fetch(server.url, tmp_path / "a", limit=len(CONTENT), show=True)
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert [file.name for file in tmp_path.iterdir()] == ["a"]
    assert fetch_picture(server.url) == CONTENT


def test_a_file_here(tmp_path):
    (tmp_path / "a").write_bytes(CONTENT)
    fetch((tmp_path / "a").as_uri(), tmp_path / "b", limit=10**6)
    assert sha256_of(tmp_path / "b") == sha256_of(tmp_path / "a")


@pytest.mark.slow
@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(cuts=st.lists(st.integers(0, len(CONTENT)), max_size=6), can=st.booleans())
def test_what_breaks_off_anywhere_ends_whole_or_is_refused(server, tmp_path, cuts, can):
    path = tmp_path / "a"
    headers = {"ETag": ETAG} if can else {}

    def broken(at):
        def answer(handler):
            asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range") or "")
            start = int(asked[1]) if asked else 0
            end = max(start, at)
            where = f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}" if start else None
            respond(
                206 if start else 200,
                CONTENT[start:end],
                Content_Length=len(CONTENT) - start,
                Content_Range=where,
                **headers,
            )(handler)

        return answer

    server.answers = [*(broken(at) for at in sorted(cuts)), broken(len(CONTENT))]
    for _ in range(len(cuts) + 1):
        try:
            fetch(server.url, path, limit=len(CONTENT))
        except ConnectionError as error:
            assert "could not download" in str(error)
        else:
            break
    assert path.read_bytes() == CONTENT
    path.unlink()


def test_a_later_call_goes_on(server, tmp_path):
    server.answers = [cut(1000, ETag=ETAG), respond(503)]
    with pytest.raises(ConnectionError, match=r"HTTP Error 503"):
        fetch(server.url, tmp_path / "a", limit=10**6)
    server.answers = [rest]
    fetch(server.url, tmp_path / "a", limit=10**6)
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=1000-", "bytes=1000-"]


def test_a_file_that_has_changed_begins_anew(server, tmp_path):
    server.answers = [cut(1000, ETag='"old"'), rest]
    fetch(server.url, tmp_path / "a", limit=10**6)
    assert (tmp_path / "a").read_bytes() == CONTENT


@pytest.mark.parametrize(
    "answer",
    [
        respond(416),
        respond(206, CONTENT[5:], ETag=ETAG, Content_Range=f"bytes 5-9/{len(CONTENT)}"),
        respond(206, CONTENT[1000:], ETag=ETAG),
    ],
)
def test_a_server_that_cannot_go_on_is_asked_for_all(server, tmp_path, answer):
    server.answers = [cut(1000, ETag=ETAG), answer, rest]
    fetch(server.url, tmp_path / "a", limit=10**6)
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=1000-", None]


@pytest.mark.parametrize(
    "headers", [{}, {"ETag": 'W/"weak"'}], ids=["nothing said", "alike is not the same"]
)
def test_what_cannot_be_told_apart_is_not_gone_on_with(server, tmp_path, headers):
    server.answers = [cut(1000, **headers), respond()]
    with pytest.raises(ConnectionError, match=f"it ended after 1000 of {len(CONTENT)} bytes$"):
        fetch(server.url, tmp_path / "a", limit=10**6)
    fetch(server.url, tmp_path / "a", limit=10**6)
    assert server.ranges == [None, None]


@pytest.mark.parametrize(
    "answer",
    [
        respond(),
        respond(Content_Length=None),
        respond(Content_Length=-5),
        respond(Content_Length=10**12, ETag=ETAG),
        slow(0, b"x" * 10**5),
        respond(body=CHUNKED, Content_Length=None, Transfer_Encoding="chunked"),
    ],
    ids=["said", "unsaid", "nonsense", "lie", "endless", "chunks"],
)  # fmt: skip
def test_too_large_a_file_is_stopped_and_nothing_of_it_kept(server, tmp_path, answer):
    server.answers = [answer]
    with pytest.raises(ConnectionError, match=r"larger than the 0\.0953674 MiB.*give the path$"):
        fetch(server.url, tmp_path / "a", limit=10**5)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("answer", [silent, drip, slow(0.05), slow(60)])
def test_a_server_that_sends_nothing_or_too_little_is_given_up(
    server, tmp_path, monkeypatch, answer
):
    monkeypatch.setattr(download, "PATIENCE", 0.4)
    server.answers = [answer]
    with pytest.raises(ConnectionError, match=r"nothing or too little came for 0\.4 seconds"):
        fetch(server.url, tmp_path / "a", limit=10**9)
    assert len(server.ranges) == 1


@pytest.mark.parametrize(
    "place",
    ["file:///etc/passwd", "ftp://127.0.0.1/a", "data:,x", "gopher://x/", "javascript:1"],
)
def test_a_redirect_stays_on_the_web(server, tmp_path, place):
    server.answers = [respond(302, b"", Location=place)]
    with pytest.raises(ConnectionError, match=r"could not download .*HTTP Error 302"):
        fetch(server.url, tmp_path / "a", limit=10**6)
    assert not (tmp_path / "a").exists()


def test_a_redirect_on_the_web_is_followed_but_not_for_ever(server, tmp_path):
    server.answers = [respond(302, b"", Location=server.url), respond()]
    fetch(server.url, tmp_path / "a", limit=10**6)
    server.answers = [respond(302, b"", Location=server.url)]
    with pytest.raises(ConnectionError, match=r"infinite loop"):
        fetch(server.url, tmp_path / "a", limit=10**6)


@pytest.mark.parametrize(
    "url",
    ["ftp://127.0.0.1/a", "http://", "http://127.0.0.1:99999/a", "http://127.0.0.1:9/a", "x:y",
     "http://[::1/a", "http://127.0.0.1:9/a b", "nothing", "http:///a"],
)  # fmt: skip
def test_addresses_that_lead_nowhere(url, tmp_path):
    with pytest.raises(ConnectionError, match=f"could not download {re.escape(url)}: [^\n]+$"):
        fetch(url, tmp_path / "a", limit=10)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "raw",
    [b"", b"no http at all\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n",
     b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200,
     b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
     b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"],
)  # fmt: skip
def test_answers_that_are_none(server, tmp_path, raw):
    server.answers = [lambda handler: handler.wfile.write(raw)]
    with pytest.raises(ConnectionError, match=r"could not download [^\n]+$"):
        fetch(server.url, tmp_path / "a", limit=10**6)


def test_a_place_that_takes_no_file(server, tmp_path):
    server.answers = [respond()]
    (tmp_path / "a").mkdir()
    with pytest.raises(WriteError, match=r"could not write .*a: it is a folder"):
        fetch(server.url, Path(tmp_path, "a"), limit=10**6)
