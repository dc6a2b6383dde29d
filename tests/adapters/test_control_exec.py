"""Is a program run in the instance that was meant, and is its end told as a shell tells it?"""

from collections.abc import Iterator
from typing import Any

import pytest

from nodeapi.v1 import control_pb2 as pb
from noded.adapters.control_exec import exit_code
from noded.adapters.roles import Role
from noded.launch import Launch, Ran
from noded.model.instance import Phase
from noded.model.instance import Role as Part
from tests.adapters.looped import looped
from tests.adapters.office import Office, code_of, offices, opened
from tests.runtime.nouns import host, instance, node


@pytest.fixture
def office() -> Iterator[Office]:
    yield from offices()


async def running(office: Office, *names: str) -> None:
    for name in names:
        await office.processes.start(Launch("catalog", name, ("/bin/sleep", "9"), "/", (), "dynamic"))


@looped
async def test_a_program_runs_in_the_instance_and_what_it_printed_comes_back(office: Office) -> None:
    office.state = host(node("catalog", instance("catalog.1")))
    await running(office, "catalog.1")
    argv = ["/bin/sh", "-c", "echo hello; exit 3"]
    async with opened(office) as stub:
        found = await stub.Exec(pb.ExecRequest(node="catalog", argv=argv, timeout=5), timeout=10)
    assert (found.instance, found.exit_code, found.output) == ("catalog.1", 3, "hello\n")
    assert (found.timed_out, found.truncated) == (False, False)
    ((launch, timeout, into),) = office.processes.ran
    assert (launch.argv, timeout, into) == (tuple(argv), 5.0, "catalog.1")
    trail = await office.audit.read(10)
    assert [(e.what, e.answer) for e in trail.entries] == [
        ("exec catalog /bin/sh -c 'echo hello; exit 3'", "begun"),
        ("exec in catalog.1 ended with 3", "accepted"),
    ]


INSTANCES = [
    ([instance("catalog.2", created_at=50.0), instance("catalog.1", created_at=90.0)], "", "catalog.2"),
    (
        [instance("catalog.1", created_at=1.0, role=Part.SPARE), instance("catalog.2", created_at=9.0)],
        "",
        "catalog.2",
    ),
    (
        [instance("catalog.1", created_at=1.0, phase=Phase.STARTING), instance("catalog.2", created_at=9.0)],
        "",
        "catalog.2",
    ),
    ([instance("catalog.1", process=None), instance("catalog.2")], "", "catalog.2"),
    ([instance("catalog.1"), instance("catalog.2")], "catalog.2", "catalog.2"),
]


@pytest.mark.parametrize(("held", "asked", "meant"), INSTANCES)
@looped
async def test_which_instance_is_meant(office: Office, held: list[Any], asked: str, meant: str) -> None:
    office.state = host(node("catalog", *held))
    await running(office, "catalog.1", "catalog.2")
    async with opened(office) as stub:
        request = pb.ExecRequest(node="catalog", instance=asked, argv=["true"])
        assert (await stub.Exec(request, timeout=10)).instance == meant
    assert office.processes.ran[0][1] == 60.0


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"argv": []}, "INVALID_ARGUMENT", "no program was named"),
    ({"argv": ["", "x"]}, "INVALID_ARGUMENT", "no program was named"),
    ({"argv": ["x"] * 513}, "INVALID_ARGUMENT", "the command is too long: at most 512 words and 64 KiB"),
    ({"argv": ["x" * 70_000]}, "INVALID_ARGUMENT", "the command is too long: at most 512 words and 64 KiB"),
    ({"argv": ["a\0b"]}, "INVALID_ARGUMENT", "the command has a zero byte in it"),
    ({"timeout": 601}, "INVALID_ARGUMENT", "a timeout of 601 s: expected at most 600 s"),
    ({"timeout": -1}, "INVALID_ARGUMENT", "a timeout of -1 s: expected at most 600 s"),
    ({"timeout": float("nan")}, "INVALID_ARGUMENT", "a timeout of nan s: expected at most 600 s"),
    ({"node": "../x"}, "INVALID_ARGUMENT", "not a node's name: '../x'"),
    ({"instance": "catalog"}, "INVALID_ARGUMENT", "not an instance's name: 'catalog'"),
    ({"node": "nobody"}, "NOT_FOUND", "no such node: nobody"),
    ({"instance": "catalog.9"}, "NOT_FOUND", "no such instance of catalog: catalog.9"),
    (
        {"instance": "catalog.2"},
        "FAILED_PRECONDITION",
        "no instance of catalog runs: nodectl status catalog",
    ),
    ({"argv": ["/missing/x"]}, "FAILED_PRECONDITION", "/missing/x: no such file"),
]


@pytest.mark.parametrize(("fields", "code", "text"), BAD, ids=[text for *_, text in BAD])
@looped
async def test_what_cannot_be_run(office: Office, fields: dict[str, Any], code: str, text: str) -> None:
    office.state = host(node("catalog", instance("catalog.1"), instance("catalog.2", process=None)))
    await running(office, "catalog.1")
    async with opened(office) as stub:
        request = pb.ExecRequest(**{"node": "catalog", "argv": ["true"], **fields})
        assert await code_of(stub.Exec(request, timeout=10)) == (code, text)
    assert office.processes.ran == []


@looped
async def test_an_instance_that_ended_meanwhile(office: Office) -> None:
    office.state = host(node("catalog", instance("catalog.1")))
    async with opened(office) as stub:
        request = pb.ExecRequest(node="catalog", argv=["true"])
        code, _ = await code_of(stub.Exec(request, timeout=10))
        assert code == "NOT_FOUND"
        await running(office, "catalog.1")
        office.processes.end("catalog.1", "code 0")
        code, text = await code_of(stub.Exec(request, timeout=10))
    assert (code, text) == ("FAILED_PRECONDITION", "catalog.1 is not running")


@looped
async def test_one_that_does_not_end_is_told_as_timeout_tells_it(office: Office) -> None:
    office.state = host(node("catalog", instance("catalog.1")))
    await running(office, "catalog.1")
    async with opened(office) as stub:
        request = pb.ExecRequest(node="catalog", argv=["/bin/sleep", "9"], timeout=0.5)
        found = await stub.Exec(request, timeout=10)
    assert (found.exit_code, found.timed_out) == (124, True)
    assert (found.output, found.seconds) == ("", 0.5)
    office.processes.ends[("slow",)] = Ran("signal 9", "half way\n", 2.0, timed_out=True)
    async with opened(office) as stub:
        found = await stub.Exec(pb.ExecRequest(node="catalog", argv=["slow"], timeout=2), timeout=10)
    assert (found.exit_code, found.timed_out, found.output) == (124, True, "half way\n")


@looped
async def test_bytes_that_are_no_text_do_not_break_the_answer(office: Office) -> None:
    office.state = host(node("catalog", instance("catalog.1")))
    await running(office, "catalog.1")
    office.processes.ends[("odd",)] = Ran("signal 15", "a\udcffb", 1.5, True)
    async with opened(office) as stub:
        found = await stub.Exec(pb.ExecRequest(node="catalog", argv=["odd"]), timeout=10)
    assert (found.exit_code, found.output, found.truncated, found.seconds) == (143, "a?b", True, 1.5)


@looped
async def test_an_operator_may_not(office: Office) -> None:
    office.state = host(node("catalog", instance("catalog.1")))
    office.roles.given = Role.OPERATOR
    async with opened(office) as stub:
        code, text = await code_of(stub.Exec(pb.ExecRequest(node="catalog", argv=["id"]), timeout=10))
    assert code == "PERMISSION_DENIED"
    assert "may not call Exec: it needs the role admin, yours is operator" in text


@pytest.mark.parametrize(
    ("status", "code"),
    [("code 0", 0), ("code 7", 7), ("signal 9", 137), ("out of memory", 137), ("unknown", 255), ("", 255)],
)
def test_ends_as_a_shell_tells_them(status: str, code: int) -> None:
    assert exit_code(status) == code
