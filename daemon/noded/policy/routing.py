"""What should the proxy know of a node right now?

A route's door is its port, and its host names where it has any. Nodes may share a port of [proxy] ports
when all but one of them name hosts and no host is named twice; the one without gets every other name. A port
of [proxy] tcp_ports belongs to one node: nothing in a connection says whom it is for.
"""

from dataclasses import replace

from noded.model.actions import Action, InstallRoute, RemoveRoute, RenewShare
from noded.model.instance import Instance, Phase, Role
from noded.model.rollout import percent
from noded.model.route import Place, Route, Server
from noded.model.state import LEASE, Desired, HostState, NodeState
from noded.policy import starting
from nodespec.manifest import Protocol

RENEW = 5.0
PLACES = {
    Role.STABLE: Place.PINNED,
    Role.BASELINE: Place.PINNED,
    Role.SPARE: Place.SPARE,
    Role.CANARY: Place.CANARY,
}


def route_of(node: NodeState) -> Route | None:
    """The node's table; None when it serves nothing through the proxy."""
    serves = node.spec.serves
    if serves is None or not node.spec.proxied:
        return None
    servers = tuple(
        Server(i.id, i.address, place, _h2(node, i), i.raised)
        for i in sorted(node.instances.values(), key=lambda i: i.created_at)
        if (place := _place(i)) is not None
    )
    canary = any(server.place is Place.CANARY for server in servers)
    share = node.rollout.share if node.rollout and node.rolling_out and canary else 0.0
    return Route(
        node=node.name,
        port=serves.port,
        servers=servers,
        share=share,
        lease=LEASE if share else 0.0,
        idempotent=serves.idempotent,
        hosts=serves.hosts,
        tcp=serves.protocol is Protocol.TCP,
    )


def _h2(node: NodeState, instance: Instance) -> bool:
    """Two versions of one node may speak differently. One that is replaced goes on as it was told of."""
    rollout = node.rollout
    known = (node.release, rollout.release if rollout else None, rollout.from_release if rollout else None)
    if node.route is not None and all(r is None or r.digest != instance.digest for r in known):
        return any(server.h2 for server in node.route.servers if server.instance == instance.id)
    serves = starting.spec_of(node, instance).serves
    return serves is not None and serves.protocol is Protocol.GRPC


def _place(instance: Instance) -> Place | None:
    if instance.phase is Phase.DRAINING:
        return Place.DRAINING
    if instance.phase is not Phase.READY:
        return None
    return PLACES[instance.role]


def reconcile(node: NodeState, state: HostState, at: float) -> tuple[NodeState, tuple[Action, ...]]:
    """Tell the proxy what has changed since it was last told, and keep a share's lease alive."""
    if not state.proxy:
        return node, ()
    if node.desired is Desired.REMOVED and not node.instances:
        return _withdraw(node)
    wanted = route_of(node)
    if wanted is None:
        return _withdraw(node)
    withdrawn: tuple[Action, ...] = ()
    if node.route is not None and node.route.door != wanted.door:
        # The old door closes when the new one is open: they may have the same port.
        node, withdrawn = _withdraw(node)
    if wanted != node.route:
        install = InstallRoute(node.name, wanted, _cancelled(node), _why(node.route, wanted))
        return _leased(replace(node, route=wanted), at), (install, *withdrawn)
    if wanted.share and node.rollout and at - node.rollout.leased_at >= RENEW:
        renew = RenewShare(node.name, wanted, f"share {percent(wanted.share)} for another {LEASE:.0f} s")
        return _leased(node, at), (renew,)
    return node, ()


def _withdraw(node: NodeState) -> tuple[NodeState, tuple[Action, ...]]:
    if node.route is None:
        return node, ()
    gone = RemoveRoute(node.name, node.route, "the node no longer serves there")
    return replace(node, route=None), (gone,)


def _leased(node: NodeState, at: float) -> NodeState:
    if node.rollout is None or not node.rolling_out:
        return node
    return replace(node, rollout=replace(node.rollout, leased_at=at))


def _cancelled(node: NodeState) -> tuple[str, ...]:
    """Starts that lost their purpose: canaries of a rollout that is over."""
    if node.rolling_out:
        return ()
    return tuple(i.id for i in node.instances.values() if i.role is Role.CANARY)


def _why(before: Route | None, after: Route) -> str:
    if before is None:
        return f"port {after.port} gets {_count(after)}"
    told = []
    if before.share != after.share:
        told.append(f"canary share {percent(before.share)} -> {percent(after.share)}")
    old = {s.instance: s.place for s in before.servers}
    new = {s.instance: s.place for s in after.servers}
    told += [f"{name} is {place}" for name, place in new.items() if old.get(name) != place]
    told += [f"{name} is gone" for name in old if name not in new]
    raised = {s.instance: s.raised for s in before.servers}
    told += [f"{s.instance} is put back" for s in after.servers if s.raised > raised.get(s.instance, 0)]
    return "; ".join(told) or "the route changed"


def _count(route: Route) -> str:
    return f"{len(route.servers)} server{'' if len(route.servers) == 1 else 's'}"
