"""The contracts of a release and of all that shares its types are read, within limits."""

from dataclasses import replace
from pathlib import Path

import pytest

from noded.adapters import schema_texts
from noded.model.inputs import Schema
from noded.model.rollout import Rollout, Stage
from noded.model.state import HostState, NodeState
from nodespec.manifest import Consumes, NodeSpec, Publishes
from tests.runtime.nouns import host, node, release, spec

DIGEST = "sha256:" + "a" * 64


def talking(name: str, *types: str) -> NodeSpec:
    return replace(spec(), name=name, consumes=tuple(Consumes(kind, f"{kind}.json") for kind in types))


@pytest.fixture
def here(tmp_path: Path) -> HostState:
    """A ledger that consumes what is paid and what is sold, in a release on disk."""
    (tmp_path / "ledger").mkdir()
    (tmp_path / "ledger/paid.json").write_text('{"type": "object"}')
    (tmp_path / "ledger/sold.json").write_text("{}")
    ledger = node("ledger", spec=talking("ledger", "paid", "sold"))
    return host(replace(ledger, release=replace(ledger.release, digest="ledger")))


def gathered(here: HostState, folder: Path, files: dict[str, bytes]) -> tuple[Schema, ...]:
    wanted = replace(
        spec(), name="shop", publishes=(Publishes("paid", "p.json"), Publishes("other", "o.json"))
    )
    return schema_texts.gathered(here, lambda digest: folder / digest, wanted, DIGEST, files)


def test_only_what_shares_a_type_is_read(here: HostState, tmp_path: Path) -> None:
    found = gathered(here, tmp_path, {"p.json": b"{}", "o.json": b"true"})
    assert found == (
        Schema(DIGEST, "p.json", "{}"),
        Schema(DIGEST, "o.json", "true"),
        Schema("ledger", "paid.json", '{"type": "object"}'),
    )


def test_what_cannot_be_read_is_left_out(here: HostState, tmp_path: Path) -> None:
    (tmp_path / "ledger/paid.json").write_bytes(b"\xff")
    assert gathered(here, tmp_path, {"p.json": b"\xff", "o.json": b"x" * (256 * 1024 + 1)}) == ()
    (tmp_path / "ledger/paid.json").unlink()
    assert gathered(here, tmp_path, {}) == ()


def test_all_together_have_a_limit(here: HostState, tmp_path: Path) -> None:
    nodes = {}
    for number in range(8):
        name = f"ledger{number}"
        (tmp_path / name).mkdir()
        (tmp_path / name / "paid.json").write_text(" " * (200 * 1024))
        one = node(name, spec=talking(name, "paid"))
        nodes[name] = replace(one, release=replace(one.release, digest=name))
    found = gathered(replace(here, nodes=nodes), tmp_path, {"p.json": b"{}"})
    assert sum(len(one.text) for one in found) <= schema_texts.MOST
    assert len(found) == 6


def test_an_order_that_brings_a_release_back_has_its_contracts_from_the_disk(tmp_path: Path) -> None:
    for digest, text in (("old", "{}"), ("new", "true")):
        (tmp_path / digest).mkdir()
        (tmp_path / digest / "paid.json").write_text(text)
    old, new = talking("shop", "paid"), replace(talking("shop", "paid"), version="1.5.0")
    before, after = release("shop", digest="old"), release("shop", "1.5.0", "new")
    past = Rollout(
        "shop-r1", "uid 0", after, new, "1.4.0", Stage.PROMOTED, 1.0, 2.0, from_spec=old, from_release=before
    )
    shop = node("shop", spec=new, release=after, past_rollouts=(past,))
    kept = (Schema("old", "paid.json", "{}"), Schema("new", "paid.json", "true"))

    def found(one: NodeState, verb: str, version: str = "", name: str = "shop") -> tuple[Schema, ...]:
        return schema_texts.of_order(host(one), lambda digest: tmp_path / digest, verb, name, version)

    assert found(shop, "rollback") == found(shop, "rollback", "1.4.0") == kept
    assert found(shop, "rollback", "1.3.0") == found(shop, "retry") == found(shop, "rollback", "", "x") == ()
    back = replace(past, stage=Stage.ROLLED_BACK)
    gone = replace(shop, spec=old, release=before, past_rollouts=(back,))
    assert found(gone, "retry") == tuple(reversed(kept))
    assert found(replace(gone, rollout=replace(past, stage=Stage.STEP)), "rollback") == ()
