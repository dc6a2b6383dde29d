"""Which certificates do meshes show each other? Those in the files now: they are looked at all the time."""

import logging
import os
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path

import grpc

from nodemesh.ports import Refused

LONGEST = 256 * 1024
_log = logging.getLogger("nodemesh")


@dataclass(frozen=True, slots=True)
class Pems:
    cert: bytes
    key: bytes
    ca: bytes


class Certificates:
    """Files that are replaced while we run. May be asked from any thread."""

    def __init__(self, cert: Path, key: Path, ca: Path) -> None:
        """Raises Refused when they cannot be read."""
        self._paths = (cert, key, ca)
        self._lock = threading.Lock()
        self.lives = 1
        """Rises when they were replaced."""
        self._problem = ""
        self._stamp = self._look()
        self._pems = self._read()

    def now(self) -> Pems:
        """The last ones that could be read and belong together."""
        with self._lock:
            try:
                stamp = self._look()
                if stamp != self._stamp:
                    # Also when they cannot be used: told once, tried again when they change again.
                    self._stamp = stamp
                    self._pems = self._read()
                    self.lives += 1
                self._problem = ""
            except Refused as refused:
                if str(refused) != self._problem:
                    self._problem = str(refused)
                    _log.error("the certificates from before are used on: %s", refused)
            return self._pems

    def _look(self) -> tuple[tuple[int, int, int], ...]:
        stamps = []
        for path in self._paths:
            try:
                found = os.stat(path)
            except OSError as error:
                raise Refused(f"[mesh] tls: cannot read {path}: {error.strerror}") from error
            stamps.append((found.st_ino, found.st_mtime_ns, found.st_size))
        return tuple(stamps)

    def _read(self) -> Pems:
        contents = [_content(path) for path in self._paths]
        cert, key, ca = contents
        for path, content in zip(self._paths, contents, strict=True):
            what = b"PRIVATE KEY-----" if content is key else b"CERTIFICATE-----"
            if b"-----END " not in content or what not in content:
                raise Refused(f"[mesh] tls: expected PEM with a {what.decode().strip('-').lower()} in {path}")
        _check_pair(*self._paths[:2])
        return Pems(cert, key, ca)


def _check_pair(cert: Path, key: Path) -> None:
    """While files are replaced one after the other, they do not belong together for a moment."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password=lambda: b"")
    except (OSError, ssl.SSLError) as error:
        raise Refused(f"[mesh] tls: {cert} and {key} are no pair: {error}") from error


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(LONGEST)
    except OSError as error:
        raise Refused(f"[mesh] tls: cannot read {path}: {error.strerror}") from error


def for_server(certificates: Certificates) -> grpc.ServerCredentials:
    """Each connection sees what is in the files then; who has no certificate of our authority is cut off."""
    told = certificates.lives

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        nonlocal told
        pems = certificates.now()
        if certificates.lives == told:
            return None
        told = certificates.lives
        return _configuration(pems)

    first = _configuration(certificates.now())
    return grpc.dynamic_ssl_server_credentials(first, fetch, True)  # type: ignore[arg-type]  # None: nothing new


def for_client(pems: Pems) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(pems.ca, pems.key, pems.cert)


def _configuration(pems: Pems) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(pems.key, pems.cert)], pems.ca)


def is_named(context: dict[str, list[bytes]], host: str) -> bool:
    """Whether the certificate is that host's: spiffe://noded/HOST or the DNS name HOST."""
    names = [name.decode(errors="replace") for name in context.get("x509_subject_alternative_name", ())]
    return f"spiffe://noded/{host}" in names or host.lower() in [name.lower() for name in names]
