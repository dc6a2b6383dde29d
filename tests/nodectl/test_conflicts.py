"""Are conflicts and a lost change told with all that helps, by `plan` and by `apply`?"""

from pathlib import Path
from typing import Any

import grpc
import pytest

from nodeapi.v1 import control_pb2 as pb

PAID = pb.Conflict(
    kind="contract",
    node="ledger",
    release="1.2.0",
    field="shop.paid $.amount",
    text="what catalog 1.5.0 sends to ledger 1.2.0 may be missing, and is asked for",
    advice="let ledger take it first",
)
PORT = pb.Conflict(
    kind="port",
    node="till",
    release="2.0",
    field="serves.port",
    text="port 8100 belongs to till",
    advice="choose another in [serves]; --force does not help",
)
NOBODY = pb.Conflict(kind="warning", field="shop.x", text="nobody publishes shop.x", advice="see the name")
LOST = "--- a/app.py\n+++ b/app.py\n@@ -1 +1 @@\n-cache = {}\n+cache = bounded()\n"
REFUSED = (grpc.StatusCode.ABORTED, "it conflicts")


def answered(desk: Any, *conflicts: pb.Conflict, lost: str = "", refuses: bool = True) -> None:
    desk.control.apply_answer = pb.ApplyResponse(
        node="catalog",
        effect=pb.EFFECT_ROLLOUT,
        from_version="1.4.0+heal.1",
        to_version="1.5.0",
        text="catalog rolls out",
        conflicts=conflicts,
        lost=lost,
    )
    if refuses:
        desk.control.refuse_applies = REFUSED


def test_a_plan_tells_them_and_what_goes_on_all_the_same(desk: Any, node_folder: Path) -> None:
    answered(desk, PAID, NOBODY, lost=LOST)
    assert desk("plan", str(node_folder), expect=3).stdout.splitlines() == [
        "catalog rolls out",
        "conflicts with what is here:",
        "  contract  ledger 1.2.0  shop.paid $.amount",
        "    what catalog 1.5.0 sends to ledger 1.2.0 may be missing, and is asked for",
        "    resolve: let ledger take it first",
        "would lose the machine-written change of 1.4.0+heal.1:",
        *LOST.splitlines(),
        "warning: nobody publishes shop.x: see the name",
        "apply refuses it; --force --supersede goes on all the same",
    ]
    assert desk.json("plan", str(node_folder), expect=3)["conflicts"][0]["field"] == "shop.paid $.amount"


def test_what_is_impossible_offers_no_force(desk: Any, node_folder: Path) -> None:
    answered(desk, PAID, PORT)
    assert desk("plan", str(node_folder), expect=3).stdout.splitlines()[-1] == "apply refuses it"


def test_a_warning_refuses_nothing(desk: Any, node_folder: Path) -> None:
    answered(desk, NOBODY, refuses=False)
    lines = desk("apply", str(node_folder), "--no-wait").stdout.splitlines()
    assert lines[-1] == "warning: nobody publishes shop.x: see the name"


@pytest.mark.parametrize("output", ["table", "json"])
def test_apply_is_refused_with_all_of_them_and_exit_code_3(desk: Any, node_folder: Path, output: str) -> None:
    answered(desk, PAID, lost=LOST)
    told = desk("apply", str(node_folder), "-o", output, expect=3)
    assert told.stderr.splitlines() == [
        "nodectl: cannot apply catalog 1.5.0: it conflicts with what is here:",
        "  contract  ledger 1.2.0  shop.paid $.amount",
        "    what catalog 1.5.0 sends to ledger 1.2.0 may be missing, and is asked for",
        "    resolve: let ledger take it first",
        "would lose the machine-written change of 1.4.0+heal.1:",
        *LOST.splitlines(),
        "try: nodectl candidate export --git-am catalog 1.4.0+heal.1 | git am -3; or "
        f"nodectl apply {node_folder} --force --supersede, if you know that it is right",
    ]
    assert ('"conflicts"' in told.stdout) is (output == "json")


def test_force_and_supersede_are_sent_and_what_was_known_is_shown(desk: Any, node_folder: Path) -> None:
    answered(desk, PAID, lost=LOST, refuses=False)
    told = desk("apply", str(node_folder), "--force", "--supersede", "--no-wait").stdout
    header = desk.control.applied[0].header
    assert (header.force, header.supersede, header.plan_only) == (True, True, False)
    assert "went on although it conflicts with what is here:" in told
    assert "gave up the machine-written change of 1.4.0+heal.1:" in told


def test_of_a_forced_apply_only_what_force_does_not_help_against_is_told(
    desk: Any, node_folder: Path
) -> None:
    answered(desk, PAID, PORT)
    told = desk("apply", str(node_folder), "--force", expect=3).stderr
    assert "port 8100 belongs to till" in told and "ledger" not in told and "try:" not in told


def test_another_refusal_stays_as_it_is(desk: Any, node_folder: Path) -> None:
    answered(desk, PAID)
    desk.control.refuse_applies = (grpc.StatusCode.FAILED_PRECONDITION, "it conflicts")
    told = desk("apply", str(node_folder), expect=1).stderr
    assert told.splitlines()[0] == "nodectl: cannot apply catalog 1.5.0: it conflicts"


def test_what_others_wrote_moves_no_cursor(desk: Any, node_folder: Path) -> None:
    evil = pb.Conflict(
        kind="contract", node="ledger", field="\x1b[2J$.a\nb", text="x\x07\ny", advice="\x9b1m"
    )
    answered(desk, evil, lost="+\x1b[31mred\n")
    assert not {"\x1b", "\x07", "\x9b"} & {*desk("plan", str(node_folder), expect=3).stdout}
