"""How are facts of the host and of silence written as lines of a story?

`5 InstanceSilent shop.1 2.5 S cpu=0.9 pressure=0.8`, `5 PolicyRead held restart=advise`, `5 DiskFilled why`.
"""

from dataclasses import fields, replace

from noded.model.inputs import DiskFilled, DiskFreed, Input, InstanceSilent, PolicyRead, RegistryRenewed
from noded.model.liveness import Pressure, Silence
from nodespec.manifest import LIMITLESS, Autonomy, Levels

Fact = InstanceSilent | PolicyRead | DiskFilled | DiskFreed | RegistryRenewed
KINDS = {kind.__name__ for kind in (InstanceSilent, PolicyRead, DiskFilled, DiskFreed, RegistryRenewed)}


def read(at: float, kind: str, words: list[str]) -> Input:
    match kind:
        case "InstanceSilent":
            return InstanceSilent(at, words[0].rpartition(".")[0], words[0], _silence(words[1:]))
        case "PolicyRead":
            levels = dict(word.split("=") for word in words if "=" in word)
            caps = replace(LIMITLESS, **{key: Autonomy(level) for key, level in levels.items()})
            return PolicyRead(at, caps, "held" in words)
        case "DiskFilled":
            return DiskFilled(at, words[0], "unwritten" not in words[1:])
        case "DiskFreed":
            return DiskFreed(at)
        case _:
            return RegistryRenewed(at, words[0])


def _silence(words: list[str]) -> Silence:
    given = {key: float(value) for key, value in (word.split("=") for word in words[2:])}
    pressure = Pressure(given.get("pressure", 0.0), given.get("memory", 0.0), given.get("io", 0.0))
    cpu, waited = given.get("cpu", 0.0), given.get("waited", 0.0)
    return Silence(float(words[0]), "its heartbeat", cpu, waited, words[1], pressure)


def words_of(fact: Fact) -> list[str]:
    match fact:
        case InstanceSilent(silence=silence):
            pressure = silence.pressure
            shares = {"cpu": silence.cpu, "waited": silence.waited, "pressure": pressure.cpu}
            shares |= {"memory": pressure.memory, "io": pressure.io}
            told = [f"{key}={value:g}" for key, value in shares.items() if value]
            return [fact.instance, f"{silence.seconds:g}", silence.state, *told]
        case PolicyRead():
            levels = {part.name: getattr(fact.caps, part.name) for part in fields(Levels)}
            lowered = [f"{key}={level}" for key, level in levels.items() if level is not Autonomy.ACT]
            return [*(["held"] if fact.held else []), *lowered]
        case DiskFilled():
            return [fact.cause, *([] if fact.journaled else ["unwritten"])]
        case DiskFreed():
            return []
        case RegistryRenewed():
            return [fact.cause]
