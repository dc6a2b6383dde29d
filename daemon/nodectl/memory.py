"""How much memory may a node hold at the worst moment of a change, and beside whom?"""

from collections.abc import Iterable

from rich.text import Text

from nodeapi.v1 import control_pb2 as pb
from nodectl.screen import Cell, columns
from nodectl.text import size
from nodespec.manifest import NodeSpec

HEAD = ("MEMORY", "COUNT", "EACH", "TOGETHER")


def memory_rows(spec: NodeSpec, answer: pb.ApplyResponse, status: pb.GetStatusResponse) -> list[Text]:
    """By the limits of manifests; nothing when a node has none, because nobody can tell."""
    if not answer.peak_memory or not spec.resources.memory:
        return []
    limit, rolls = spec.resources.memory, answer.effect == pb.EFFECT_ROLLOUT
    before = {change.key: change.before for change in answer.changes} if rolls else {}
    old = _number(before.get("resources.memory", ""), limit)
    spares = _number(before.get("spares", ""), spec.spares)
    count = _number(before.get("instances", ""), spec.instances)
    # One spare is two while crashes come close together.
    most = 2 if spares == 1 else spares
    counted = old * (count + most) + limit * spec.instances
    # Those of the new version start while those of the old one still drain.
    both = rolls and counted < answer.peak_memory == counted + old * (spares - most) + limit * spec.spares
    rows = [_row("instances", count, old)]
    rows += [_row("spares", spares if both else most, old)] if spares else []
    rows += [_row("canaries", spec.instances, limit)] if rolls else []
    if both:
        rows.append(_row("their spares", spec.spares, limit))
    elif rolls and answer.peak_memory >= counted + old:
        rows.append(_row("to compare with", 1, old))
    others = _others(status.nodes, spec.name)
    rows.append(["baseline (other nodes)", "", "", size(others)])
    host = f" of {size(status.host.memory)}" if status.host.memory else ""
    rows.append(["at the peak", "", "", size(answer.peak_memory + others) + host])
    return columns(HEAD, rows, indent=2)


def _row(name: str, count: int, each: int) -> list[Cell]:
    return [name, str(count), size(each), size(count * each)]


def _number(text: str, otherwise: int) -> int:
    return int(text) if text.isascii() and text.isdecimal() else otherwise


def _others(nodes: Iterable[pb.NodeStatus], name: str) -> int:
    return sum(node.memory_limit * len(node.instances) for node in nodes if node.name != name)
