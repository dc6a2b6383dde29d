"""Do `validate`, `plan` and `apply` check, compare and send a folder?"""

import time
from pathlib import Path
from typing import Any

import grpc
import pytest

from nodeapi.v1 import control_pb2 as pb
from nodespec.release import pack
from tests.fakes.control import a_node, a_rollout


def answer(effect: "pb.Effect", **fields: Any) -> pb.ApplyResponse:
    given = {"node": "catalog", "from_version": "1.4.0", "to_version": "1.5.0", "digest": "sha256:ab"}
    return pb.ApplyResponse(effect=effect, **{**given, **fields})


def test_validate_needs_no_noded(desk: Any, node_folder: Path) -> None:
    assert desk("validate", str(node_folder)).stdout == "catalog 1.5.0 is valid: 2 files, 83 B\n"
    found = desk.json("validate", str(node_folder))
    assert found == desk.yaml("validate", str(node_folder))
    assert found["node"] == "catalog" and found["digest"] == pack(node_folder).digest
    assert desk.control.calls == []


@pytest.mark.parametrize("verb", ["validate", "plan", "apply"])
def test_all_mistakes_are_told_at_once_and_nothing_is_sent(desk: Any, node_folder: Path, verb: str) -> None:
    (node_folder / "node.toml").write_text('[node]\nname = "Catalog"\nversoin = "1"\nrun = ["x"]\n')
    (node_folder / "escape").symlink_to("/etc/passwd")
    stderr = desk(verb, str(node_folder), expect=2).stderr
    for said in ("node.name", "versoin", "escape"):
        assert said in stderr
    assert desk.control.calls == []


@pytest.mark.parametrize("verb", ["validate", "plan", "apply"])
def test_a_folder_that_is_none(desk: Any, tmp_path: Path, verb: str) -> None:
    assert "No such file" in desk(verb, str(tmp_path / "nothing"), expect=2).stderr
    (tmp_path / "file").write_text("")
    desk(verb, str(tmp_path / "file"), expect=2)


def test_plan_shows_the_changes_and_exits_with_3(desk: Any, node_folder: Path) -> None:
    desk.control.apply_answer = answer(
        pb.EFFECT_ROLLOUT,
        text="catalog goes from 1.4.0 to 1.5.0 in steps of 10, 50 and 100 %",
        changes=[
            pb.KeyChange(key="resources.memory", before="256M", after="512M"),
            pb.KeyChange(key="node.spares", before="", after="1"),
        ],
        peak_memory=3 * 2**30,
    )
    result = desk("plan", str(node_folder), expect=3)
    assert result.stdout.splitlines() == [
        "catalog goes from 1.4.0 to 1.5.0 in steps of 10, 50 and 100 %",
        "  KEY               BEFORE  AFTER",
        "  resources.memory  256M    512M",
        "  node.spares       -       1",
        "  its instances may hold up to 3.0 GiB together meanwhile",
    ]
    assert desk.control.applied[0].header.plan_only
    assert desk.json("plan", str(node_folder), expect=3)["effect"] == "rollout"


WITH_MEMORY = """[node]
name = "catalog"
version = "1.5.0"
run = ["python3", "x.py"]
instances = 2
spares = 1
[serves]
port = 8100
[resources]
memory = "512M"
"""


def test_plan_shows_what_the_peak_of_memory_is_made_of(desk: Any, node_folder: Path) -> None:
    (node_folder / "node.toml").write_text(WITH_MEMORY)
    desk.control.status.nodes.extend([a_node(), a_node("shop")])
    desk.control.status.host.memory = 8 * 2**30
    before = [("instances", "1", "2"), ("resources.memory", str(256 * 2**20), str(512 * 2**20))]
    desk.control.apply_answer = answer(
        pb.EFFECT_ROLLOUT,
        changes=[pb.KeyChange(key=key, before=old, after=new) for key, old, new in before],
        peak_memory=1792 * 2**20,
    )
    lines = [line.split("  ") for line in desk("plan", str(node_folder), expect=3).stdout.splitlines()[4:]]
    assert [[cell.strip() for cell in line if cell] for line in lines] == [
        ["MEMORY", "COUNT", "EACH", "TOGETHER"],
        ["instances", "1", "256.0 MiB", "256.0 MiB"],
        ["spares", "2", "256.0 MiB", "512.0 MiB"],
        ["canaries", "2", "512.0 MiB", "1.0 GiB"],
        ["baseline (other nodes)", "512.0 MiB"],
        ["at the peak", "2.2 GiB of 8.0 GiB"],
    ]
    desk.control.apply_answer.peak_memory = 2048 * 2**20
    lines = [line.split() for line in desk("plan", str(node_folder), expect=3).stdout.splitlines()[6:9]]
    assert [line[:-4] for line in lines] == [["spares", "1"], ["canaries", "2"], ["their", "spares", "1"]]


def test_plan_of_a_new_node_has_no_canaries(desk: Any, node_folder: Path) -> None:
    (node_folder / "node.toml").write_text(WITH_MEMORY)
    desk.control.apply_answer = answer(pb.EFFECT_CREATE, peak_memory=2048 * 2**20)
    output = desk("plan", str(node_folder), expect=3).stdout
    assert "instances" in output and "canaries" not in output and "at the peak" in output


def test_what_does_not_fit_is_refused_in_words(desk: Any, node_folder: Path) -> None:
    text = "catalog may hold 9,000 MiB at its peak, other nodes 0 MiB: more than the 8,000 MiB of this host"
    desk.control.refusals["Apply"] = (grpc.StatusCode.FAILED_PRECONDITION, text)
    assert f"cannot plan catalog 1.5.0: {text}" in desk("plan", str(node_folder), expect=1).stderr


def test_plan_without_changes_exits_with_0(desk: Any, node_folder: Path) -> None:
    desk.control.apply_answer = answer(pb.EFFECT_NONE, peak_memory=2**20)
    assert desk("plan", str(node_folder)).stdout == "catalog 1.5.0: no changes\n"
    assert desk.yaml("plan", str(node_folder))["effect"] == "none"


def test_apply_sends_the_packed_release_in_small_pieces(desk: Any, node_folder: Path) -> None:
    (node_folder / "data.bin").write_bytes(bytes(300_000))
    desk.control.apply_answer = answer(pb.EFFECT_NONE)
    desk("apply", str(node_folder))
    blob = pack(node_folder).blob
    header, *chunks = desk.control.applied
    assert header.header == pb.ApplyHeader(plan_only=False, size=len(blob))
    assert b"".join(one.chunk for one in chunks) == blob
    assert max(len(one.chunk) for one in chunks) == 64 * 1024


def test_apply_of_a_new_node_waits_until_it_runs(desk: Any, node_folder: Path) -> None:
    desk.control.apply_answer = answer(pb.EFFECT_CREATE, text="catalog starts")
    desk.control.after_apply = [
        lambda status: status.nodes.append(a_node(version="1.5.0", condition="starting")),
        lambda status: setattr(status.nodes[0], "condition", "running"),
    ]
    result = desk("apply", str(node_folder))
    assert result.stdout == "catalog starts\n"
    assert result.stderr.splitlines() == ["catalog: starting", "catalog 1.5.0 runs"]


def test_apply_of_a_node_that_does_not_start(desk: Any, node_folder: Path) -> None:
    desk.control.apply_answer = answer(pb.EFFECT_CREATE)
    desk.control.status.nodes.append(
        a_node(version="1.5.0", condition="backing off", detail="exited with status 1")
    )
    stderr = desk("apply", str(node_folder), "--timeout", "500ms", expect=1).stderr
    assert "backing off (exited with status 1)" in stderr
    assert "try: nodectl describe catalog, or nodectl logs catalog" in stderr


def test_apply_without_waiting(desk: Any, node_folder: Path) -> None:
    desk.control.apply_answer = answer(pb.EFFECT_CREATE, text="catalog starts")
    result = desk("apply", str(node_folder), "--no-wait")
    assert (result.stdout, result.stderr) == ("catalog starts\n", "")


def test_apply_that_begins_a_rollout_says_how_to_watch_it(desk: Any, node_folder: Path) -> None:
    desk.control.status.nodes.append(a_node(rollout=a_rollout()))
    desk.control.apply_answer = answer(pb.EFFECT_ROLLOUT)
    result = desk("apply", str(node_folder))
    assert result.stdout == "catalog: a rollout from 1.4.0 to 1.5.0\n"
    assert result.stderr == "a rollout has begun; watch it: nodectl rollout watch catalog\n"
    assert desk.json("apply", str(node_folder))["effect"] == "rollout"


def test_apply_waits_until_the_new_version_gets_its_first_share(desk: Any, node_folder: Path) -> None:
    desk.control.status.nodes.append(a_node(condition="rolling out", rollout=a_rollout(phase="preparing")))
    desk.control.after_apply = [lambda status: setattr(status.nodes[0].rollout, "phase", "step")]
    desk.control.apply_answer = answer(pb.EFFECT_ROLLOUT)
    assert desk("apply", str(node_folder)).stderr.splitlines() == [
        "catalog: rolling out",
        "a rollout has begun; watch it: nodectl rollout watch catalog",
    ]


def test_apply_of_a_version_that_does_not_start(desk: Any, node_folder: Path) -> None:
    def rolls_back(status: pb.GetStatusResponse) -> None:
        node = status.nodes[0]
        reason = "its canary catalog.12 exited: code 1"
        node.past_rollouts.append(a_rollout(id="r-1", phase="promoted", started_at=1.0))
        node.past_rollouts.append(a_rollout(phase="rolled back", reason=reason, ended_at=time.time()))
        node.ClearField("rollout")

    desk.control.status.nodes.append(a_node(rollout=a_rollout(phase="preparing")))
    desk.control.after_apply = [rolls_back]
    desk.control.apply_answer = answer(pb.EFFECT_ROLLOUT)
    assert desk("apply", str(node_folder), expect=1).stderr.splitlines()[-2:] == [
        "nodectl: catalog 1.5.0 was rolled back: its canary catalog.12 exited: code 1",
        "try: nodectl logs catalog.12, and nodectl explain catalog",
    ]


def test_apply_for_a_stopped_node_says_how_to_start_it(desk: Any, node_folder: Path) -> None:
    desk.control.status.nodes.append(a_node(condition="stopped"))
    desk.control.apply_answer = answer(pb.EFFECT_REPLACE)
    assert "nodectl start catalog" in desk("apply", str(node_folder)).stderr


def test_apply_for_a_node_that_is_replaced_at_once_waits_for_the_new_version(
    desk: Any, node_folder: Path
) -> None:
    desk.control.status.nodes.append(a_node(version="1.5.0"))
    desk.control.apply_answer = answer(pb.EFFECT_REPLACE)

    def renewed(status: pb.GetStatusResponse) -> None:
        for one in status.nodes[0].instances:
            one.version = "1.5.0"

    desk.control.after_apply = [renewed]
    told = desk("apply", str(node_folder)).stderr
    assert "catalog 1.5.0 runs" in told
    assert "nodectl start" not in told


def test_the_same_version_with_other_content(desk: Any, node_folder: Path) -> None:
    desk.control.refusals["Apply"] = (
        grpc.StatusCode.ALREADY_EXISTS,
        "release 1.5.0 exists with different content",
    )
    assert desk("apply", str(node_folder), expect=1).stderr.splitlines() == [
        "nodectl: cannot apply catalog 1.5.0: release 1.5.0 exists with different content",
        "try: a new version in node.toml",
    ]


def test_an_effect_of_a_newer_noded_is_told_as_its_number(desk: Any, node_folder: Path) -> None:
    desk.control.apply_answer.MergeFrom(answer(pb.EFFECT_NONE))
    desk.control.apply_answer.effect = 9
    assert desk.json("plan", str(node_folder), expect=3)["effect"] == 9
