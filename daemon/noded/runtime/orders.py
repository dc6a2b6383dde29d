"""What is said to the SDK inside a node, and how is its answer taken?

Answers come from the node and are untrusted: every value is taken by type and bounded.
"""

from collections.abc import Mapping

from noded.model.actions import (
    ActivateInstance,
    BeginProfile,
    CollectGarbage,
    EndProfile,
    RestoreCaches,
    ShrinkCaches,
)
from noded.model.incident import Site
from noded.model.inputs import CachesShrunk, GarbageCollected, MemoryProfiled
from noded.ports import Clock, Nodes, NotFound

QUICK = 3.0
SLOW = 12.0
"""Collecting a large heap, or comparing two profiles of it, holds the interpreter for seconds."""
TEXT = 200
SITES = 15
LAST_LINE = 2**31 - 1


async def activate(nodes: Nodes, action: ActivateInstance) -> None:
    try:
        await nodes.order(action.instance, {"do": "activate"}, QUICK)
    except NotFound:
        # A program without the SDK acts through its socket alone and needs no word.
        return


async def begin_profile(nodes: Nodes, action: BeginProfile) -> None:
    await nodes.order(action.instance, {"do": "profile_start", "frames": 1}, SLOW)


async def end_profile(nodes: Nodes, clock: Clock, action: EndProfile) -> MemoryProfiled:
    result = await nodes.order(action.instance, {"do": "profile_stop", "top": SITES}, SLOW)
    sites = result.get("sites")
    listed = sites if isinstance(sites, list) else []
    taken = tuple(_site(site) for site in listed[:SITES] if isinstance(site, Mapping))
    return MemoryProfiled(clock.now(), action.node, action.instance, taken)


async def collect(nodes: Nodes, clock: Clock, action: CollectGarbage) -> GarbageCollected:
    result = await nodes.order(action.instance, {"do": "collect"}, SLOW)
    before, after, objects = (_whole(result, key) for key in ("before", "after", "objects"))
    return GarbageCollected(clock.now(), action.node, action.instance, before, after, objects)


async def shrink(nodes: Nodes, clock: Clock, action: ShrinkCaches) -> CachesShrunk:
    result = await nodes.order(action.instance, {"do": "shrink", "fraction": action.fraction}, SLOW)
    before, after = _whole(result, "before"), _whole(result, "after")
    return CachesShrunk(clock.now(), action.node, action.instance, before, after, _caches(result))


async def restore(nodes: Nodes, action: RestoreCaches) -> None:
    await nodes.order(action.instance, {"do": "restore"}, SLOW)


def _caches(result: Mapping[str, object]) -> str:
    caches = result.get("caches")
    listed = [c for c in caches if isinstance(c, Mapping)] if isinstance(caches, list) else []
    if not listed:
        return "the node has no registered cache"
    told = [f"{_text(c, 'name')} {_whole(c, 'before')} -> {_whole(c, 'after')} entries" for c in listed[:10]]
    return ", ".join(told)


def _site(site: Mapping[str, object]) -> Site:
    return Site(
        _text(site, "file"),
        min(max(0, _whole(site, "line")), LAST_LINE),
        _text(site, "function"),
        _whole(site, "bytes"),
        _whole(site, "count"),
    )


def _whole(values: Mapping[str, object], key: str) -> int:
    value = values.get(key)
    return int(value) if isinstance(value, int | float) and abs(value) < 2**53 else 0


def _text(values: Mapping[str, object], key: str) -> str:
    value = values.get(key)
    return "".join(c for c in value[:TEXT] if c.isprintable()) if isinstance(value, str) else ""
