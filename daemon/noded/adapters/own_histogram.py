"""What does a program itself tell of its answers, where [metrics] latency names its histogram?

It is asked at its own place, not through the proxy, where another would answer for it.
"""

import asyncio
from collections.abc import Collection

from noded.adapters.http_probes import HEADERS, connected
from noded.adapters.prometheus_text import answers
from noded.model.instance import Instance
from noded.model.signals import Answers
from noded.ports import Refused, TimedOut, Unavailable
from nodespec.manifest import NodeSpec, Probe

LARGEST = 1024 * 1024
LONGEST_HEAD = 16 * 1024
AT_ONCE = 64 * 1024
ACCEPT = "Accept: text/plain;version=0.0.4\r\nAccept-Encoding: identity\r\n"


class OwnHistograms:
    async def read(self, instance: Instance, spec: NodeSpec, timeout: float) -> Answers:
        """Raises TimedOut, Unavailable, and Refused for what cannot be read."""
        name, path = spec.metrics.latency, spec.metrics.path
        what = f"cannot read the histogram {name} of {instance.id}"
        uid = instance.process.uid if instance.process else -1
        request = f"GET {path} HTTP/1.1\r\n{HEADERS}{ACCEPT}\r\n".encode()
        try:
            async with asyncio.timeout(timeout):
                body = await _body(instance.listen, uid, request)
                # A long one takes milliseconds: the loop goes on meanwhile.
                return await asyncio.to_thread(answers, instance.id, body, name, _asked_by_us(spec))
        except TimeoutError as error:
            raise TimedOut(f"{what}: GET {path} took longer than {timeout:g} s") from error
        except OSError as error:
            raise Unavailable(f"{what}: {error.strerror or error}") from error
        except ValueError as error:
            raise Refused(f"{what}: GET {path}: {error}") from error


def _asked_by_us(spec: NodeSpec) -> Collection[str]:
    """Paths that noded asks for once a second and more: in a figure of few requests they would be most."""
    health = (spec.health.readiness, spec.health.alive_by)
    return {spec.metrics.path, spec.health.path} if Probe.HTTP in health else {spec.metrics.path}


async def _body(address: str, uid: int, request: bytes) -> bytes:
    """Raises OSError, and ValueError for what is no whole answer."""
    loop = asyncio.get_running_loop()
    raw = bytearray()
    with await connected(address, uid) as ours:
        await loop.sock_sendall(ours, request)
        while True:
            more = await loop.sock_recv(ours, AT_ONCE)
            raw += more
            if len(raw) > LARGEST:
                raise ValueError(f"expected at most {LARGEST} bytes")
            body = _whole(raw, ended=not more)
            if body is not None:
                return body


def _whole(raw: bytearray, ended: bool) -> bytes | None:
    """The body once all of it is there. Raises ValueError."""
    end = raw.find(b"\r\n\r\n", 0, LONGEST_HEAD)
    if end < 0:
        if ended or len(raw) >= LONGEST_HEAD:
            raise ValueError("it did not answer in HTTP/1.1")
        return None
    body = _taken(_headers(bytes(raw[:end])), bytes(raw[end + 4 :]), ended)
    if body is None and ended:
        raise ValueError("its answer broke off")
    return body


def _taken(headers: dict[bytes, bytes], rest: bytes, ended: bool) -> bytes | None:
    encoding, length = headers.get(b"transfer-encoding"), headers.get(b"content-length")
    if encoding is not None:
        if encoding.lower() != b"chunked" or length is not None:
            raise ValueError("its answer has a length or encoding that is not known")
        return _joined(rest) if rest.endswith(b"0\r\n\r\n") else None
    if length is None:
        return rest if ended else None
    if not length.isdigit() or len(length) > 9:
        raise ValueError("its answer has a Content-Length that is no number")
    return rest[: int(length)] if len(rest) >= int(length) else None


def _headers(head: bytes) -> dict[bytes, bytes]:
    status, *lines = head.split(b"\r\n")
    if not status.startswith((b"HTTP/1.1 200", b"HTTP/1.0 200")):
        raise ValueError(f"expected status 200, found {status[:40].decode('ascii', 'replace')!r}")
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (each.partition(b":") for each in lines)
    }
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise ValueError("its answer is compressed, though it was not asked to be")
    return headers


def _joined(raw: bytes) -> bytes | None:
    """A chunked body; None when it only looked like its end."""
    parts: list[bytes] = []
    at = 0
    while True:
        end = raw.find(b"\r\n", at, at + 256)
        if end < 0:
            if len(raw) - at >= 256:
                raise ValueError("a chunk has no size")
            return None
        digits = raw[at:end].partition(b";")[0].strip()
        if not 0 < len(digits) <= 8 or digits.strip(b"0123456789abcdefABCDEF"):
            raise ValueError("a chunk's size is no hexadecimal number")
        size, at = int(digits, 16), end + 2
        if not size:
            return b"".join(parts)
        if raw[at + size : at + size + 2] != b"\r\n":
            if len(raw) < at + size + 2:
                return None
            raise ValueError("a chunk does not end where its size says")
        parts.append(raw[at : at + size])
        at += size + 2
