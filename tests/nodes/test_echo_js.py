"""Does a node in another language speak to the mesh by the public contract alone, whatever ends between?"""

import itertools
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from nodeapi.v1 import mesh_pb2
from nodespec import reading, release
from tests.e2e.ground import ROOT, wait_for
from tests.faults.mesh_world import VERSION, MeshWorld, Part, made
from tests.nodes import nodejs

pytestmark = pytest.mark.e2e
CALLER = """
import asyncio, json, sys
from nodekit import Node

node = Node()

@node.on("echo.answered")
async def answered(event, ctx):
    print(json.dumps(["answered", ctx.cause, event["text"], event["attempt"], ctx.subject]), flush=True)

@node.task
async def ask():
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        id = await node.publish(json.loads(line), type="echo.asked", subject="desk")
        print(json.dumps(["asked", id]), flush=True)

node.main()
"""
"""Publishes what it reads, and writes down what is on disk and what was answered."""
PARTS = (
    Part("caller", ("echo.asked",), {"echo.answered": False}),
    Part("echo-js", ("echo.answered",), {"echo.asked": False}),
)


@dataclass
class Talk:
    world: MeshWorld
    caller: "subprocess.Popen[str]"
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def notes(self, kind: str) -> list[list[object]]:
        lines = (self.world.folder / "caller.1.notes").read_text().splitlines(keepends=True)
        read = [json.loads(line) for line in lines if line.endswith("\n")]
        return [words[1:] for words in read if words[0] == kind]

    def ask(self, *texts: object, **more: object) -> None:
        assert self.caller.stdin
        for text in texts:
            self.caller.stdin.write(json.dumps({"text": text, **more}) + "\n")
        self.caller.stdin.flush()

    def say(self, line: str) -> None:
        assert self.caller.stdin
        self.caller.stdin.write(line + "\n")
        self.caller.stdin.flush()

    def texts(self, count: int) -> list[str]:
        return [f"text {next(self.numbers)}" for _ in range(count)]

    def answers(self, texts: list[str], timeout: float = 10.0) -> list[list[object]]:
        """To all of these."""

        def come() -> list[list[object]]:
            found = [note for note in self.notes("answered") if note[1] in texts]
            return found if {note[1] for note in found} == set(texts) else []

        try:
            return wait_for(come, "the answers", timeout)  # type: ignore[return-value]
        except TimeoutError as late:
            raise TimeoutError(f"{late}: {self.world.log('echo-js.1')}") from late

    def dead(self) -> list[mesh_pb2.DeadEvent]:
        with self.world.control() as control:
            return list(control.ListDead(mesh_pb2.DeadRequest(node="echo-js"), timeout=10).dead)


def declare(world: MeshWorld) -> None:
    """What noded would make of both manifests: for a node that does not check its events, the mesh does."""
    world.declare(*PARTS)
    world.tables += 1
    table = mesh_pb2.Table(number=world.tables, host="here")
    for part in PARTS:
        table.members.add(instance=f"{part.name}.1", node=part.name, version=VERSION, uid=os.getuid())
        consumed = [mesh_pb2.Consumed(type=kind) for kind in part.consumes]
        table.consumers.add(node=part.name, consumed=consumed, stable=VERSION)
    schema = (nodejs.SOURCE / "contracts/answered.json").read_text()
    table.contracts.add(type="echo.asked", node="caller", version=VERSION, mode=mesh_pb2.Contract.OFF)
    table.contracts.add(type="echo.answered", node="echo-js", version=VERSION, schema=schema)
    with world.control() as control:
        control.SetTable(table, timeout=20)


def given(world: MeshWorld, node: str) -> dict[str, str]:
    return {
        "NODED_NODE": node,
        "NODED_INSTANCE": f"{node}.1",
        "NODED_VERSION": VERSION,
        "NODED_MESH": f"unix:{world.socket}",
        "NODED_STOP_TIMEOUT": "10",
    }


def start_echo(world: MeshWorld) -> None:
    with (world.folder / "echo-js.1.log").open("ab") as log:
        world.processes["echo-js.1"] = subprocess.Popen(
            ["node", "echo.js"],
            cwd=world.folder / "echo-js",
            env={
                **nodejs.environment(),
                **given(world, "echo-js"),
                "NODED_LISTEN": f"unix:{world.folder}/http",
            },
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def start_caller(world: MeshWorld) -> "subprocess.Popen[str]":
    (world.folder / "caller/caller.py").write_text(CALLER)
    paths = {"PYTHONPATH": str(ROOT / "nodes"), "PYTHONDONTWRITEBYTECODE": "1"}
    with (
        (world.folder / "caller.1.log").open("ab") as log,
        (world.folder / "caller.1.notes").open("a") as notes,
    ):
        process = subprocess.Popen(
            [sys.executable, "caller.py"],
            cwd=world.folder / "caller",
            env={**os.environ, **given(world, "caller"), **paths},
            stdin=subprocess.PIPE,
            stdout=notes,
            stderr=log,
            text=True,
        )
    world.processes["caller.1"] = process  # type: ignore[assignment]
    return process


@pytest.fixture(scope="module")
def talk() -> Iterator[Talk]:
    nodejs.node()
    with made() as world:
        world.start_mesh()
        declare(world)
        (world.folder / "echo-js/node.toml").unlink()
        nodejs.release(world.folder / "echo-js")
        start_echo(world)
        caller = start_caller(world)
        try:
            yield Talk(world, caller)
        finally:
            assert caller.stdin
            caller.stdin.close()


def test_it_can_be_handed_over(talk: Talk) -> None:
    folder = talk.world.folder / "echo-js"
    manifest = reading.read_node((folder / "node.toml").read_text(), "node.toml")
    assert ([one.type for one in manifest.publishes], [one.type for one in manifest.consumes]) == (
        ["echo.answered"],
        ["echo.asked"],
    )
    assert release.pack(folder).spec == manifest


def test_its_own_tests_pass(talk: Talk) -> None:
    folder = talk.world.folder / "echo-js"
    subprocess.run(["node", "--test"], cwd=folder, env=nodejs.environment(), check=True, timeout=60)


def described(folder: Path, name: str, made: Path) -> FileDescriptorProto:
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{folder}", f"--descriptor_set_out={made}", name]
    subprocess.run(command, check=True, timeout=60)
    (file,) = FileDescriptorSet.FromString(made.read_bytes()).file
    return file


def lines(file: FileDescriptorProto) -> set[tuple[str, str, str]]:
    """Every field, method and word of an enumeration, with all that is said of it."""
    said = [(service.name, one.name, str(one)) for service in file.service for one in service.method]
    for message in file.message_type:
        said += [(message.name, one.name, str(one)) for one in (*message.field, *message.nested_type)]
        said += [(message.name, one.name, str(one)) for enum in message.enum_type for one in enum.value]
    return set(said)


def test_its_contract_is_still_spoken(tmp_path: Path) -> None:
    """The mesh may have learnt new words since; none may have changed or gone."""
    copy = lines(described(nodejs.SOURCE, "mesh.proto", tmp_path / "copy"))
    assert ("Mesh", "Consume") in {line[:2] for line in copy}
    assert copy - lines(described(ROOT / "proto", "nodeapi/v1/mesh.proto", tmp_path / "whole")) == set()


def test_events_go_both_ways(talk: Talk) -> None:
    texts = talk.texts(200)
    talk.ask(*texts)
    answers = talk.answers(texts)
    assert Counter(note[1] for note in answers) == Counter(texts)
    assert {(note[2], note[3]) for note in answers} == {(1, "desk")}
    assert {note[0] for note in answers} <= {note[0] for note in talk.notes("asked")}


def test_an_answer_belongs_to_the_trace_of_the_question(talk: Talk) -> None:
    texts = talk.texts(1)
    talk.ask(*texts)
    ((asked, *_),) = talk.answers(texts)
    with talk.world.control() as control:
        trace = control.GetTrace(mesh_pb2.TraceRequest(id=str(asked)), timeout=10)
    assert [(event.source, event.cause) for event in trace.events] == [("/caller", ""), ("/echo-js", asked)]


def test_an_event_that_comes_too_early_comes_again(talk: Talk) -> None:
    texts = talk.texts(1)
    now = float(subprocess.check_output(["date", "+%s.%N"]))
    talk.ask(*texts, at=now + 0.5)
    ((_, _, attempt, _),) = talk.answers(texts)
    assert attempt == 2


def test_what_it_rejects_is_a_dead_letter(talk: Talk) -> None:
    before = len(talk.dead())
    talk.say('{"words": "none"}')
    wait_for(lambda: len(talk.dead()) > before, "a dead letter", 10.0)
    letter = talk.dead()[-1]
    assert (letter.attempts, letter.reason) == (1, "$.text: expected a text to answer with, found none")
    assert json.loads(letter.event.data) == {"words": "none"}


def test_the_mesh_refuses_an_answer_that_breaks_its_contract(talk: Talk) -> None:
    before = len(talk.dead())
    talk.ask(7)
    wait_for(lambda: len(talk.dead()) > before, "a dead letter", 10.0)
    letter = talk.dead()[-1]
    assert letter.attempts == 3
    assert "$.text: expected a string" in letter.reason
    assert 7 not in [note[1] for note in talk.notes("answered")]


def test_a_killed_mesh_costs_no_event(talk: Talk) -> None:
    pid = talk.world.pid("echo-js.1")
    texts: list[str] = []
    for _ in range(2):
        more = talk.texts(300)
        texts += more
        talk.ask(*more)
        count = len(talk.notes("answered"))
        wait_for(lambda count=count: len(talk.notes("answered")) > count + 20, "some answers", 10.0, 0.01)  # type: ignore[misc]
        talk.world.kill("mesh")
        talk.world.start_mesh()
    answers = talk.answers(texts, 20.0)
    # At least once: what was answered and not settled yet when the mesh ended may be answered again.
    assert len(answers) <= len(texts) + 2 * 64
    assert talk.world.pid("echo-js.1") == pid
    assert talk.world.is_alive("echo-js.1")
    wait_for(lambda: talk.world.flow("echo-js").lag == 0, "all settled", 10.0)


def test_a_killed_node_costs_no_event(talk: Talk) -> None:
    texts = talk.texts(200)
    talk.ask(*texts)
    talk.world.kill("echo-js.1")
    start_echo(talk.world)
    talk.answers(texts)


def test_it_stops_when_it_is_asked_to_and_leaves_nothing_half_done(talk: Talk) -> None:
    texts = talk.texts(200)
    before = talk.world.flow("echo-js").retried
    talk.ask(*texts)
    assert talk.world.stop("echo-js.1") == 0
    start_echo(talk.world)
    answers = talk.answers(texts)
    assert Counter(note[1] for note in answers) == Counter(texts)
    assert talk.world.flow("echo-js").retried == before


def test_without_a_mesh_it_stops_as_well(talk: Talk) -> None:
    talk.world.kill("mesh")
    assert talk.world.stop("echo-js.1") == 0
