"""Which words of a story are which values of a manifest? `instances=2 spares=1 steps=10,50,100`."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from nodespec.manifest import (
    Autonomy,
    Budget,
    Healing,
    Health,
    Levels,
    Listen,
    NodeSpec,
    Probe,
    Resources,
    RolloutPlan,
    Rung,
    Serves,
    Stop,
)
from tests.policy.build import MB

Put = Callable[[NodeSpec, str], NodeSpec]
Get = Callable[[NodeSpec], str]


def _level(word: str) -> tuple[Put, Get]:
    def put(spec: NodeSpec, value: str) -> NodeSpec:
        levels = replace(spec.healing.autonomy, **{word: Autonomy(value)})
        return replace(spec, healing=replace(spec.healing, autonomy=levels))

    return put, lambda spec: str(getattr(spec.healing.autonomy, word))


def _budget(word: str) -> tuple[Put, Get]:
    def put(spec: NodeSpec, value: str) -> NodeSpec:
        budget = replace(spec.healing.budget, **{word: int(value)})
        return replace(spec, healing=replace(spec.healing, budget=budget))

    return put, lambda spec: str(getattr(spec.healing.budget, word))


def _field(name: str, read: Callable[[str], Any], show: Callable[[Any], str] = str) -> tuple[Put, Get]:
    def put(spec: NodeSpec, value: str) -> NodeSpec:
        return replace(spec, **{name: read(value)})

    return put, lambda spec: show(getattr(spec, name))


def _plan(name: str, read: Callable[[str], Any], show: Callable[[Any], str]) -> tuple[Put, Get]:
    def put(spec: NodeSpec, value: str) -> NodeSpec:
        return replace(spec, rollout=replace(spec.rollout, **{name: read(value)}))

    return put, lambda spec: show(getattr(spec.rollout, name))


def _healing(name: str, read: Callable[[str], Any], show: Callable[[Any], str]) -> tuple[Put, Get]:
    def put(spec: NodeSpec, value: str) -> NodeSpec:
        return replace(spec, healing=replace(spec.healing, **{name: read(value)}))

    return put, lambda spec: show(getattr(spec.healing, name))


def _serves(value: str) -> Serves | None:
    if value == "none":
        return None
    port, _, listen = value.partition(":")
    return Serves(int(port), listen=Listen(listen or "unix"))


def _served(serves: Serves | None) -> str:
    if serves is None:
        return "none"
    return f"{serves.port}" + ("" if serves.listen is Listen.UNIX else f":{serves.listen}")


def _number(value: float) -> str:
    return f"{value:g}"


def _steps(text: str) -> tuple[float, ...]:
    return tuple(int(step) / 100 for step in text.split(","))


KEYS: Mapping[str, tuple[Put, Get]] = {
    "port": _field("serves", _serves, _served),
    "instances": _field("instances", int),
    "spares": _field("spares", int),
    "start_timeout": _field("start_timeout", float, _number),
    "stop": _field("stop", lambda text: Stop("TERM", float(text)), lambda stop: _number(stop.timeout)),
    "readiness": _field("health", lambda text: Health(Probe(text)), lambda health: str(health.readiness)),
    "memory": _field(
        "resources",
        lambda text: Resources(int(text.removesuffix("M")) * MB),
        lambda held: f"{held.memory // MB}M",
    ),
    "user": _field("user", str),
    "ladder": _healing(
        "ladder",
        lambda text: tuple(Rung(r) for r in text.split(",") if r != "none"),
        lambda r: ",".join(r) or "none",
    ),
    "settle": _healing("settle", float, _number),
    "tune": _level("tune"),
    "replace": _level("replace"),
    "regenerate": _level("regenerate"),
    "replacements": _budget("replace"),
    "regenerations": _budget("regenerate"),
    "steps": _plan("steps", _steps, lambda steps: ",".join(f"{step * 100:.0f}" for step in steps)),
    "dwell": _plan("dwell", float, _number),
    "soak": _plan("soak", float, _number),
}


def plain(name: str, version: str) -> NodeSpec:
    """What a story's node is when nothing is said of it."""
    return NodeSpec(
        name=name,
        version=version,
        run=("python3", "-m", name),
        start_timeout=10.0,
        stop=Stop("TERM", 5.0),
        serves=Serves(8100),
        resources=Resources(memory=256 * MB),
        healing=Healing(budget=Budget(), autonomy=Levels(tune=Autonomy.ACT, replace=Autonomy.ACT)),
        rollout=RolloutPlan((0.1, 0.5, 1.0), 5.0, 20.0),
    )


def spec_of(name: str, version: str, keys: Mapping[str, str]) -> NodeSpec:
    spec = plain(name, version)
    for key, value in keys.items():
        spec = KEYS[key][0](spec, value)
    return spec


def keys_of(spec: NodeSpec) -> list[str]:
    """The words that make this manifest from the plain one."""
    usual = plain(spec.name, spec.version)
    return [f"{key}={get(spec)}" for key, (_, get) in KEYS.items() if get(spec) != get(usual)]
