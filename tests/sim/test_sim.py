"""Hours of a host in seconds: crashes, leaks, restarts and orders at random, and what must hold does.

The seed is the name of the test and, with the last minutes as a story, in its failure. Another one:
`NODED_SIM_SEED=77 make sim`.
"""

import os
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from noded.model.inputs import Sampled, TrafficCounted
from noded.model.state import HostState
from noded.runtime import codec
from noded.runtime.reactor import replay
from tests.playbooks import deeds
from tests.playbooks.facts import told
from tests.sim import invariants
from tests.sim.trouble import NAMES, Trouble
from tests.sim.world import World

ROOT = Path(__file__).resolve().parents[2]
FIRST = int(os.environ.get("NODED_SIM_SEED", "1"))
SEEDS = range(FIRST, FIRST + 20)
LONG = range(1000, 1200)
WHOLE = 1
"""A seed whose memory is never damaged: all of it replays from the beginning."""
FORGETFUL = 3
"""Every so manieth world loses the end of noded's memory now and then."""
TROUBLE = 1800.0
CALM = 1800.0


def lived(seed: int) -> World:
    """A world after an hour; what breaks a rule is told with its seed and its last minutes."""
    world = World(seed)
    try:
        trouble = Trouble(world, forgetful=seed % FORGETFUL == 0)
        world.boot()
        for name in NAMES:
            trouble.apply(name)
        world.run(TROUBLE)
        trouble.end()
        world.run(TROUBLE + CALM)
        held = invariants.told(world.state, world.proxy.routes, world.mesh.table)
        for offence in (*invariants.settled(world.state), *held):
            raise invariants.Broken(f"{CALM:.0f} s after the last trouble: {offence}")
    except Exception as error:
        raise AssertionError(f"seed {seed} at {world.now:.3f}: {error!r}\n{story(world)}") from error
    return world


def story(world: World, steps: int = 60) -> str:
    """The last inputs that led to something, as a playbook would have them."""
    lines = []
    for fact, actions in world.heard:
        if actions or not isinstance(fact, Sampled | TrafficCounted):
            lines.append(f"{told(fact)}\n----\n" + "\n".join(deeds.told(action) for action in actions))
    return "\n\n".join(lines[-steps:])


def recorded(world: World) -> list[str]:
    """What the journal's ring would hold of all that was decided."""
    lines = []
    for fact, actions in world.heard:
        lines.append(f"I {codec.dump_tagged(fact)}\n")
        lines += [f"A {codec.dump_tagged(action)}\n" for action in actions]
    return lines


@cache
def once(seed: int) -> World:
    return lived(seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_must_hold_holds_after_every_decision_and_all_is_well_when_trouble_ends(seed: int) -> None:
    world = once(seed) if seed == WHOLE else lived(seed)
    assert len(world.heard) > 3000


@pytest.mark.soak
@pytest.mark.parametrize("seed", LONG)
def test_many_more_hours(seed: int) -> None:
    lived(seed)


def test_the_same_seed_is_the_same_story() -> None:
    assert recorded(lived(WHOLE)) == recorded(once(WHOLE))


def test_what_was_recorded_replays_to_the_same_actions_under_another_hash_seed(tmp_path: Path) -> None:
    world = once(WHOLE)
    lines = recorded(world)
    # A state is only ever lost between two inputs: the end of one life is the beginning of the next.
    path = tmp_path / "segment"
    path.write_text("".join(lines))
    asked = "import sys; from tests.sim.test_sim import replayed; replayed(sys.argv[1], sys.argv[2])"
    roots = os.pathsep.join(str(ROOT / part) for part in ("", "daemon", "proto", "nodes"))
    for seed in ("1", "4711"):
        left = tmp_path / f"state-{seed}"
        done = subprocess.run(
            [sys.executable, "-c", asked, str(path), str(left)],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": roots},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert left.read_text() == codec.dump(world.state)


def replayed(path: str, left: str) -> None:
    with open(path) as lines:
        state, differences = replay(lines, HostState())
    if differences:
        raise SystemExit("\n".join(differences[:5]))
    Path(left).write_text(codec.dump(state))


def test_enough_happens() -> None:
    """A simulation in which nothing is rolled out, replaced or healed would prove nothing."""
    done: Counter[str] = Counter()
    for seed in (WHOLE, 113, 114):
        done.update(type(a).__name__ for _, actions in once(seed).heard for a in actions)
    rare = {"Regenerate", "CancelRegeneration", "RestoreCaches", "ForgetNode", "RemoveRoute", "ShrinkCaches"}
    rare |= {"CloseSocket", "RemoveRelease"}
    wanted = set(deeds.KINDS) - rare
    assert sorted(kind for kind in wanted if done[kind] < 3) == []
