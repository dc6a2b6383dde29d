"""Which table did noded give last? Kept on disk, so that a restart of the mesh needs nobody."""

import contextlib
import logging
import os
from pathlib import Path

from google.protobuf.message import DecodeError

from nodeapi.v1 import mesh_pb2
from nodemesh.model.table import Consumer, Contract, Judging, Member, Share, Table
from nodemesh.ports import Refused, Unavailable

_log = logging.getLogger("nodemesh")
_JUDGING = {
    mesh_pb2.Contract.REJECT: Judging.REJECT,
    mesh_pb2.Contract.WARN: Judging.WARN,
    mesh_pb2.Contract.OFF: Judging.OFF,
}


class TableFile:
    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> Table:
        """The last one; the empty one when there is none or it cannot be read, which is told."""
        try:
            return table_of(mesh_pb2.Table.FromString(self._path.read_bytes()))
        except FileNotFoundError:
            return Table()
        except (OSError, DecodeError, Refused) as error:
            _log.error("cannot read the last table, %s: %s; noded gives another", self._path, error)
            return Table()

    def keep(self, table: mesh_pb2.Table) -> None:
        """The old or the new one is there, whatever happens. Raises Unavailable."""
        keep_whole(self._path, table.SerializeToString())


class ToldFile:
    """What other hosts told of who consumes there."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> mesh_pb2.Announcements:
        """Without it, hosts tell again; until then what is kept for their nodes stays."""
        try:
            return mesh_pb2.Announcements.FromString(self._path.read_bytes())
        except FileNotFoundError:
            return mesh_pb2.Announcements()
        except (OSError, DecodeError) as error:
            _log.error("cannot read what peers told, %s: %s; they tell again", self._path, error)
            return mesh_pb2.Announcements()

    def keep(self, told: mesh_pb2.Announcements) -> None:
        """Raises Unavailable."""
        keep_whole(self._path, told.SerializeToString())


def keep_whole(path: Path, data: bytes) -> None:
    """The old or the new one is there, whatever happens. Raises Unavailable."""
    part = path.with_suffix(".part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise Unavailable(f"cannot keep {path}: {error.strerror}") from error


def table_of(said: mesh_pb2.Table) -> Table:
    """Raises Refused for shares that cannot be."""
    contracts = [
        Contract(c.type, c.node, c.version, c.schema, _JUDGING.get(c.mode, Judging.REJECT))
        for c in said.contracts
    ]
    return Table(
        number=said.number,
        members={m.instance: Member(m.instance, m.node, m.version, m.uid) for m in said.members},
        consumers={c.node: _consumer(c) for c in said.consumers},
        # Stable's come last.
        contracts={(c.type, c.node): c for c in contracts},
        of_releases={(c.type, c.node, c.version): c for c in contracts},
        gone=tuple(said.gone),
        host=said.host,
    )


def _consumer(said: mesh_pb2.Consumer) -> Consumer:
    shares = tuple(Share(s.version, s.share, s.valid_until) for s in said.shares)
    if any(not 0.0 <= s.share <= 1.0 for s in shares) or sum(s.share for s in shares) > 1.0 + 1e-9:
        raise Refused(f"consumers: shares of {said.node}: expected 0 to 1 each and together")
    return Consumer(said.node, {c.type: c.ordered for c in said.consumed}, said.stable, shares)
