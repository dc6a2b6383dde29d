"""Conclusions are told once, when they change, in words a person can use."""

from dataclasses import replace

from noded.model.actions import Note
from noded.policy.notes import told
from nodespec.manifest import Autonomy
from tests.policy.build import Core, rolling, running, spec
from tests.policy.ladders import collected, grow, leaking, tuned


def texts(core: Core) -> list[str]:
    return [note.reason for note in core.all_of(Note)]


def test_what_has_not_changed_is_not_told() -> None:
    core = rolling()
    assert told(core.node, core.node) == ()
    before = len(texts(core))
    core.tick(1.0)
    assert len(texts(core)) == before


def test_a_rollout_is_told_step_by_step() -> None:
    core = rolling()
    core.order("promote")
    core.exits("shop.2", "code 1")
    assert texts(core) == [
        "shop-r1 1.0 -> 1.1 preparing: waiting for the canary to be ready",
        "shop-r1 1.0 -> 1.1 step: 10%: the canary is ready",
        "shop-r1 1.0 -> 1.1 step: 50%: a person asked for the next step",
        "shop-r1 1.0 -> 1.1 rolled back: its canary shop.2 exited: code 1",
    ]


def test_an_incident_is_told_from_its_opening_to_its_end() -> None:
    core = tuned(leaking(spec(spares=1)))
    core.order("stop")
    heard = texts(core)
    assert heard[0].startswith("shop-1 opened: shop.1 grows 120.0 MiB/min")
    assert heard[1] == "shop-1 evidence: shop/prices.py:41 price_of holds 12.0 MiB in 4321 objects more"
    assert heard[2].startswith("shop-1 collect did not hold: 0.0 MiB freed")
    assert heard[3].startswith("shop-1 shrink did not hold: 0.0 MiB freed")
    assert heard[-1] == "shop-1 resolved: shop is to be stopped"
    assert len(heard) == len(set(heard))


def test_a_step_that_waits_for_approval_is_told_when_it_begins_to_wait() -> None:
    core = leaking(spec(level=Autonomy.APPROVE))
    assert texts(core)[-1] == "shop-1 waiting for approval: collect waits for approval"
    core.order("approve")
    collected(core)
    grow(core, lambda core: len(core.incident.tried) > 0)
    core.tick(1.0)
    assert texts(core)[-1] == "shop-1 waiting for approval: shrink waits for approval"


def test_every_note_names_its_subject() -> None:
    core = tuned(leaking(spec(spares=1)))
    assert {note.subject for note in core.all_of(Note)} == {"shop-1"}
    assert {note.subject for note in rolling().all_of(Note)} == {"shop-r1"}


def test_a_node_that_was_unknown_has_its_whole_news_told() -> None:
    core = rolling()
    assert [n.reason for n in told(None, core.node)] == ["shop-r1 1.0 -> 1.1 step: 10%: the canary is ready"]
    quiet = replace(running().node, rollout=None)
    assert told(None, quiet) == ()
