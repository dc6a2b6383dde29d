"""What does a request say, and how is an answer written? HTTP/1.1 as values; no sockets here."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import Literal
from urllib.parse import parse_qsl, unquote

TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
START = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) ([\x21-\x7e]+) HTTP/(\d)\.(\d)")
MOST_HEADERS = 100
MOST_FIELDS = 100
LONGEST_LINE = 512


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes and seconds a client is allowed."""

    head: int = 16 * 1024
    body: int = 1024 * 1024
    head_time: float = 10.0
    body_time: float = 30.0
    idle: float = 75.0
    answer: float = 30.0
    write: float = 30.0
    connections: int = 2048


class HttpError(Exception):
    """Raise it in a route to answer with this status and text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status} {text}")
        self.status, self.text = status, text


@dataclass(frozen=True, slots=True)
class Head:
    method: str
    target: str
    headers: Mapping[str, str]
    """Names in lower case; a name that came twice has its values joined by a comma."""
    length: int
    chunked: bool
    keep: bool


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    """As it came, percent signs and all; a route's parameters are decoded."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""

    def json(self) -> object:
        """Raises HttpError 400."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise HttpError(400, f"body: expected JSON: {error}") from None


@dataclass(frozen=True, slots=True)
class Response:
    body: bytes | str = b""
    status: int = 200
    type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)

    def encode(self, keep: bool, with_body: bool = True) -> bytes:
        body = self.body.encode() if isinstance(self.body, str) else self.body
        lines = [f"HTTP/1.1 {self.status} {phrase(self.status)}", f"Date: {formatdate(usegmt=True)}"]
        if self.status not in (204, 304):
            lines += [f"Content-Type: {self.type}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        if not keep:
            lines.append("Connection: close")
        if any("\r" in line or "\n" in line for line in lines):
            raise ValueError("a response header contains a line break")
        head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
        return head + body if with_body and self.status not in (204, 304) else head


def respond(value: object) -> Response:
    """What a route returned, as a response: text, bytes, or anything JSON can say."""
    match value:
        case Response():
            return value
        case str():
            return Response(value)
        case bytes():
            return Response(value, type="application/octet-stream")
        case None:
            return Response(status=204)
        case _:
            return Response(json.dumps(value), type="application/json")


def phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def read_head(raw: bytes) -> Head:
    """Strict where leniency lets a proxy and this server see two different requests. Raises HttpError."""
    first, *rest = raw.split(b"\r\n")
    start = START.fullmatch(first)
    if not start:
        raise HttpError(400, "expected a request line such as GET /path HTTP/1.1")
    if start[3] != b"1":
        raise HttpError(505, "only HTTP/1.1 and HTTP/1.0 are spoken here")
    modern = start[4] != b"0"
    headers = read_headers(rest)
    if modern and "host" not in headers:
        raise HttpError(400, "the Host header is missing")
    length, chunked = body_length(headers)
    connection = [word.strip() for word in headers.get("connection", "").lower().split(",")]
    keep = "close" not in connection if modern else "keep-alive" in connection
    return Head(start[1].decode(), start[2].decode(), headers, length, chunked, keep)


def read_headers(lines: list[bytes]) -> dict[str, str]:
    if len(lines) > MOST_HEADERS:
        raise HttpError(431, f"more than {MOST_HEADERS} headers")
    headers: dict[str, str] = {}
    for raw in lines:
        name, colon, value = raw.partition(b":")
        if not colon or not TOKEN.fullmatch(name) or re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", value):
            raise HttpError(400, "a header line is malformed")
        key, text = name.decode().lower(), value.strip(b" \t").decode("latin-1")
        if key in headers:
            if key in ("host", "content-length", "transfer-encoding"):
                raise HttpError(400, f"{key} came twice")
            text = f"{headers[key]}, {text}"
        headers[key] = text
    return headers


def body_length(headers: Mapping[str, str]) -> tuple[int, bool]:
    length, encoding = headers.get("content-length"), headers.get("transfer-encoding")
    if encoding is not None:
        if length is not None:
            raise HttpError(400, "both Content-Length and Transfer-Encoding were given")
        if encoding.lower() != "chunked":
            raise HttpError(501, "the only transfer encoding known here is chunked")
        return 0, True
    if length is None:
        return 0, False
    if not re.fullmatch(r"[0-9]{1,18}", length):
        raise HttpError(400, "Content-Length is not a number")
    return int(length), False


class Chunks:
    """A chunked body, taken from the buffer as it comes. Trailers are passed over."""

    def __init__(self, most: int) -> None:
        self.most, self.body = most, bytearray()
        self.left = 0
        self.expects: Literal["size", "end", "trailer", "nothing"] = "size"

    def take(self, buffer: bytearray) -> bool:
        """True once the body is complete. Raises HttpError."""
        while self.expects != "nothing":
            if self.left:
                part = buffer[: self.left]
                del buffer[: self.left]
                self.body += part
                self.left -= len(part)
            line = None if self.left else take_line(buffer)
            if line is None:
                return False
            self.read_line(line)
        return True

    def read_line(self, line: bytes) -> None:
        if self.expects == "trailer":
            self.expects = "trailer" if line else "nothing"
        elif self.expects == "end":
            if line:
                raise HttpError(400, "a chunk does not end where its size says")
            self.expects = "size"
        else:
            size = line.partition(b";")[0].rstrip(b" \t")
            if not re.fullmatch(rb"[0-9A-Fa-f]{1,8}", size):
                raise HttpError(400, "a chunk size is not a hexadecimal number")
            self.left = int(size, 16)
            self.expects = "end" if self.left else "trailer"
            if len(self.body) + self.left > self.most:
                raise HttpError(413, f"the body is larger than {self.most} bytes")


def take_line(buffer: bytearray) -> bytes | None:
    end = buffer.find(b"\r\n", 0, LONGEST_LINE)
    if end < 0:
        if len(buffer) >= LONGEST_LINE:
            raise HttpError(400, "a chunk size or trailer is too long")
        return None
    line = bytes(buffer[:end])
    del buffer[: end + 2]
    return line


def request_of(head: Head, body: bytes) -> Request:
    """Raises HttpError 400."""
    target = head.target
    if target.startswith(("http://", "https://")):
        target = "/" + target.partition("://")[2].partition("/")[2]
    if not target.startswith("/"):
        raise HttpError(400, "the request target does not begin with /")
    path, _, query = target.partition("#")[0].partition("?")
    try:
        fields = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
    except ValueError:
        raise HttpError(400, "the query is not well formed") from None
    # The first value counts when a name came twice.
    return Request(head.method, path, dict(reversed(fields)), head.headers, body)


def decode(segment: str) -> str:
    """Raises HttpError 400."""
    try:
        return unquote(segment, errors="strict")
    except ValueError:
        raise HttpError(400, "the path is not UTF-8") from None
