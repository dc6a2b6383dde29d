"""Are JSON and YAML valid, complete and safe, whatever a node wrote?"""

import json
import math
from typing import Any

import pytest
import yaml

from nodeapi.v1 import control_pb2 as pb
from nodectl.documents import document, write

NASTY = [
    "\x1b[31m",
    "\x9b2J",
    "\x7f",
    "\x85",
    "\u2028",
    "\u202e",
    "\u2066",
    '"quotes" \\',
    "naïve 日本",
    "yes",
    "- a: b\n",
]


@pytest.mark.parametrize("text", NASTY)
@pytest.mark.parametrize("output", ["json", "yaml"])
@pytest.mark.parametrize("one_line", [False, True])
def test_any_text_survives_and_none_reaches_the_terminal(
    capsys: Any, text: str, output: str, one_line: bool
) -> None:
    write({"text": text}, output, one_line)
    written = capsys.readouterr().out
    assert (yaml.safe_load if output == "yaml" else json.loads)(written) == {"text": text}
    assert not {one for one in written if (ord(one) < 32 and one != "\n") or 127 <= ord(one) < 160}
    if output == "json":
        assert not {"\u2028", "\u202e", "\u2066"} & set(written)
        assert written.count("\n") == (1 if one_line else 3)


def test_numbers_stay_numbers_and_what_is_none_is_null() -> None:
    found = document(
        pb.RolloutStatus(canary_requests=2**63, rollback_evidence=math.inf, share=0.1, steps=[0.1])
    )
    assert found["canary_requests"] == 2**63
    assert (found["rollback_evidence"], found["share"], found["steps"]) == (None, 0.1, [0.1])
    assert found["started_at"] is None
    json.dumps(found, allow_nan=False)


def test_moments_enums_and_bytes() -> None:
    assert document(pb.RungStatus(at=1_700_000_000.5))["at"] == 1_700_000_000.5
    assert document(pb.RungStatus(at=math.nan))["at"] is None
    assert document(pb.CommandRequest(verb=pb.VERB_FINISH))["verb"] == "finish"
    assert document(pb.ReadLogsResponse(text=b"a\xff"))["text"] == "a\ufffd"


def test_every_message_of_the_contract_can_be_written() -> None:
    for kind in pb.DESCRIPTOR.message_types_by_name.values():
        message = getattr(pb, kind.name)()
        assert list(document(message)) == [field.name for field in kind.fields]
