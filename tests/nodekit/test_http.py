"""Is HTTP read strictly, are bodies found, and are answers well formed?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodekit.http import Chunks, HttpError, Response, decode, read_head, request_of, respond


def head(*lines: str) -> bytes:
    return "\r\n".join(lines).encode("latin-1")


def test_a_plain_request() -> None:
    found = read_head(head("GET /a?b=c HTTP/1.1", "Host: x", "X-Y:  z ", "Cookie: a", "Cookie: b"))
    assert (found.method, found.target, found.length, found.chunked, found.keep) == (
        "GET",
        "/a?b=c",
        0,
        False,
        True,
    )
    assert found.headers == {"host": "x", "x-y": "z", "cookie": "a, b"}


@pytest.mark.parametrize(
    ("lines", "keep"),
    [
        (("GET / HTTP/1.1", "Host: x", "Connection: close"), False),
        (("GET / HTTP/1.1", "Host: x", "Connection: TE, Close"), False),
        (("GET / HTTP/1.0",), False),
        (("GET / HTTP/1.0", "Connection: keep-alive"), True),
    ],
)
def test_who_wants_to_keep_the_connection(lines: tuple[str, ...], keep: bool) -> None:
    assert read_head(head(*lines)).keep is keep


@pytest.mark.parametrize(
    ("status", "lines"),
    [
        (400, ("",)),
        (400, ("GET /",)),
        (400, ("GET  / HTTP/1.1", "Host: x")),
        (400, ("GET / HTTP/1.1 ", "Host: x")),
        (400, ("GET /\x01 HTTP/1.1", "Host: x")),
        (400, ("GET / HTTP/1.1",)),
        (400, ("GET / HTTP/1.1", "Host: x", "Host: y")),
        (400, ("GET / HTTP/1.1", "Host : x")),
        (400, ("GET / HTTP/1.1", "Host: x", " folded: y")),
        (400, ("GET / HTTP/1.1", "Host: x", "nocolon")),
        (400, ("GET / HTTP/1.1", "Host: x", "A: \x00")),
        (400, ("GET / HTTP/1.1", "Host: x\nA: b")),
        (400, ("GET / HTTP/1.1", "Host: x", "Content-Length: -1")),
        (400, ("GET / HTTP/1.1", "Host: x", "Content-Length: +5")),
        (400, ("GET / HTTP/1.1", "Host: x", "Content-Length: 5, 5")),
        (400, ("GET / HTTP/1.1", "Host: x", "Content-Length: 5", "Content-Length: 5")),
        (400, ("GET / HTTP/1.1", "Host: x", "Content-Length: " + "9" * 19)),
        (400, ("GET / HTTP/1.1", "Host: x", "Content-Length: 5", "Transfer-Encoding: chunked")),
        (501, ("GET / HTTP/1.1", "Host: x", "Transfer-Encoding: gzip, chunked")),
        (431, ("GET / HTTP/1.1", "Host: x", *(f"H{number}: x" for number in range(100)))),
        (505, ("GET / HTTP/2.0", "Host: x")),
        (505, ("GET / HTTP/0.9", "Host: x")),
    ],
)
def test_what_a_proxy_could_read_otherwise_is_refused(status: int, lines: tuple[str, ...]) -> None:
    with pytest.raises(HttpError) as caught:
        read_head(head(*lines))
    assert caught.value.status == status


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(raw: bytes) -> None:
    for text in (raw, b"GET / HTTP/1.1\r\nHost: x\r\n" + raw):
        try:
            request_of(read_head(text), b"")
        except HttpError as error:
            assert 400 <= error.status < 600


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.integers(1, 7))
def test_chunks_are_put_together_however_they_arrive(parts: list[bytes], step: int) -> None:
    wire = (
        b"".join(b"%x;ext=1\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\nTrailer: x\r\n\r\nNEXT"
    )
    chunks, buffer, complete = Chunks(10_000), bytearray(), False
    for at in range(0, len(wire), step):
        buffer += wire[at : at + step]
        complete = complete or chunks.take(buffer)
    assert complete
    assert chunks.body == b"".join(parts)
    assert bytes(buffer) == b"NEXT"


@pytest.mark.parametrize(
    ("status", "wire"),
    [
        (400, b"x\r\n"),
        (400, b"-1\r\n"),
        (400, b"0x5\r\n"),
        (400, b"fffffffff\r\n"),
        (400, b"1\r\naXX\r\n"),
        (400, b"1" * 600),
        (413, b"65\r\n"),
        (413, b"ffffffff\r\n"),
    ],
)
def test_bad_chunks(status: int, wire: bytes) -> None:
    with pytest.raises(HttpError) as caught:
        Chunks(100).take(bytearray(wire))
    assert caught.value.status == status


def test_query_and_target() -> None:
    request = request_of(read_head(head("GET /a%20b?x=1&x=2&y=%C3%A4&z HTTP/1.1", "Host: x")), b"")
    assert request.path == "/a%20b"
    assert request.query == {"x": "1", "y": "ä", "z": ""}
    absolute = request_of(read_head(head("GET http://host/a?b=c HTTP/1.1", "Host: x")), b"")
    assert (absolute.path, absolute.query) == ("/a", {"b": "c"})


@pytest.mark.parametrize("target", ["*", "a", "/?q=%ff", "/?" + "a=1&" * 101])
def test_bad_targets(target: str) -> None:
    with pytest.raises(HttpError):
        request_of(read_head(head(f"GET {target} HTTP/1.1", "Host: x")), b"")


def test_bad_path_segments() -> None:
    assert decode("a%2Fb") == "a/b"
    with pytest.raises(HttpError):
        decode("%ff")


def test_json_bodies() -> None:
    plain = read_head(head("POST / HTTP/1.1", "Host: x"))
    assert request_of(plain, b'{"a": 1}').json() == {"a": 1}
    for body in (b"", b"{", b"[" * 100_000):
        with pytest.raises(HttpError, match="400 body: expected JSON"):
            request_of(plain, body).json()


def test_an_answer_on_the_wire() -> None:
    text = Response("hällo", headers={"X-A": "b"}).encode(keep=True).decode()
    assert text.startswith("HTTP/1.1 200 OK\r\nDate: ")
    assert text.endswith(
        "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 6\r\nX-A: b\r\n\r\nhällo"
    )
    assert b"Connection: close\r\n" in Response("").encode(keep=False)
    assert Response("abc").encode(keep=True, with_body=False).endswith(b"Content-Length: 3\r\n\r\n")


def test_a_header_cannot_smuggle_a_line() -> None:
    with pytest.raises(ValueError, match="line break"):
        Response(headers={"Location": "/a\r\nSet-Cookie: x=y"}).encode(keep=True)


def test_what_routes_return() -> None:
    assert respond("text").body == "text"
    assert respond(b"raw").type == "application/octet-stream"
    assert respond({"a": [1]}) == Response('{"a": [1]}', type="application/json")
    assert respond(None).status == 204
    assert b"Content-Length" not in respond(None).encode(keep=True)
    given_as_is = Response("x", 418)
    assert respond(given_as_is) is given_as_is
