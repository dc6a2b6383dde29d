"""For whom are events kept? For nodes of this host, and for those that other hosts told of."""

from collections.abc import Callable, Iterable, Mapping

from nodeapi.v1 import mesh_pb2
from nodemesh.model.table import Consumer
from nodemesh.ports import Refused

MOST = 1000
"""Consuming nodes, or types of one, that one host may tell of."""
Hosts = Mapping[str, Mapping[str, Consumer]]
Keep = Callable[[mesh_pb2.Announcements], None]
"""Write it down. Raises Unavailable."""


class Fleet:
    def __init__(self, hosts: Hosts, keep: Keep = lambda _: None) -> None:
        self.hosts = hosts
        """What each other host consumes, by node."""
        self._keep = keep

    def with_said(self, said: mesh_pb2.Announcement) -> Hosts | None:
        """`hosts` with what is said now; None when that is nothing new. Who is not named is not gone.

        Raises Refused.
        """
        if len(said.consumers) > MOST or any(len(each.consumed) > MOST for each in said.consumers):
            raise Refused(f"consumers: expected at most {MOST}, each of at most {MOST} types")
        had = self.hosts.get(said.host, {})
        has = {name: consumer for name, consumer in had.items() if name not in said.gone} | consumers_of(said)
        return None if has == had else {**self.hosts, said.host: has}

    def take(self, hosts: Hosts) -> None:
        """Raises Unavailable; then nothing has changed."""
        self._keep(
            mesh_pb2.Announcements(
                announcements=[announcement(host, consumers) for host, consumers in hosts.items()]
            )
        )
        self.hosts = hosts


def consumers_of(said: mesh_pb2.Announcement) -> dict[str, Consumer]:
    return {
        c.node: Consumer(c.node, {each.type: each.ordered for each in c.consumed}) for c in said.consumers
    }


def announcement(
    host: str, consumers: Mapping[str, Consumer], gone: Iterable[str] = ()
) -> mesh_pb2.Announcement:
    said = mesh_pb2.Announcement(host=host, gone=[name for name in gone if name not in consumers])
    for consumer in consumers.values():
        consumed = [mesh_pb2.Consumed(type=t, ordered=ordered) for t, ordered in consumer.types.items()]
        said.consumers.add(node=consumer.node, consumed=consumed)
    return said


def together(own: Mapping[str, Consumer], told: Iterable[Mapping[str, Consumer]]) -> dict[str, Consumer]:
    """One consumer of each name in the fleet. Releases and shares are each host's own."""
    made = dict(own)
    for consumers in told:
        for name, consumer in consumers.items():
            known = made.get(name)
            if known is None:
                made[name] = Consumer(name, consumer.types)
            elif known.types != consumer.types:
                types = dict(known.types)
                for type, ordered in consumer.types.items():
                    types[type] = types.get(type, False) or ordered
                made[name] = Consumer(name, types, known.stable, known.shares)
    return made
