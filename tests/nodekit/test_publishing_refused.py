"""What is refused before it gets into a frame, and is the reason told?"""

import asyncio
from pathlib import Path

import pytest

from nodekit import ContractBroken, NoMesh, PublishRefused
from nodekit.events import Events
from nodekit.tracing import read_traceparent
from tests.nodekit.mesh_side import MeshSide, living, run, trial

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    ("event", "more", "error", "text"),
    [
        ({}, {}, TypeError, "expected type="),
        ({}, {"type": "a\nb"}, PublishRefused, "type: expected no control characters"),
        ({}, {"type": "x" * 257}, PublishRefused, "type: expected 1 to 256 bytes, found 257"),
        ({}, {"type": "t", "subject": "x" * 1025}, PublishRefused, "subject: expected 0 to 1024 bytes"),
        ({}, {"type": "t", "subject": "\ud800"}, PublishRefused, "subject: expected no"),
        (bytes(1 << 20) + b"x", {"type": "t"}, PublishRefused, "data: expected at most 1048576 bytes"),
        ({}, {"type": "t", "content": "image/png"}, TypeError, "expected bytes, as image/png is no JSON"),
        (float("nan"), {"type": "t"}, ValueError, "not JSON compliant"),
        (object(), {"type": "t"}, TypeError, "an event's data: expected a dataclass"),
        ({}, {"type": "t", "traceparent": "00-1"}, ValueError, "traceparent: expected"),
        (
            {},
            {"type": "t", "attributes": {"Data": "1"}},
            PublishRefused,
            "attributes: expected an extension's",
        ),
        (
            {},
            {"type": "t", "attributes": {"data": "1"}},
            PublishRefused,
            "attributes: expected an extension's",
        ),
    ],
)
def test_what_no_mesh_would_take_is_refused_at_once(event, more, error, text) -> None:  # type: ignore[no-untyped-def]
    async def scenario(mesh: MeshSide) -> None:
        events = trial(mesh)
        async with living(events):
            with pytest.raises(error, match=text):
                events.publish_nowait(event, **more)
            await events.publish(1, type="t")
        assert mesh.data == [b"1"]

    run(scenario)


def test_data_that_holds_itself_is_refused() -> None:
    async def scenario(mesh: MeshSide) -> None:
        events = trial(mesh)
        async with living(events):
            endless: list[object] = []
            endless.append(endless)
            with pytest.raises(ValueError, match="it holds itself"):
                await events.publish(endless, type="t")

    run(scenario)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        PARENT[:-1],
        "ff" + PARENT[2:],
        PARENT.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32),
        PARENT + "x",
    ],
)
def test_a_broken_traceparent_is_passed_over(text: str) -> None:
    assert read_traceparent(text) is None


def test_without_a_mesh_the_error_says_what_to_do() -> None:
    async def scenario() -> None:
        events = Events("trial", "trial.1", "1", {})
        with pytest.raises(NoMesh, match="the node does not run"):
            events.publish_nowait(1, type="t")
        events.open(Path("/nonexistent"))
        with pytest.raises(NoMesh, match=r"NODED_MESH is not set.*`nodekit run`"):
            await events.publish(1, type="t")

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("environ", "text"),
    [
        ({"NODED_MESH": "/run/mesh.sock"}, 'NODED_MESH: expected "unix:/path", got'),
        (
            {"NODED_MESH": "unix:/x", "NODED_MESH_TRANSPORT": "tcp"},
            "NODED_MESH_TRANSPORT: expected auto, raw, grpc",
        ),
    ],
)
def test_a_bad_address_is_refused(environ: dict[str, str], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Events("trial", "trial.1", "1", environ)


def release(folder: Path, check: str = "") -> Path:
    (folder / "c").mkdir()
    (folder / "c/t.json").write_text(
        '{"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}'
    )
    (folder / "node.toml").write_text(f'[[publishes]]\ntype = "t"\nschema = "c/t.json"\n{check}')
    return folder


def test_a_broken_event_is_not_published(tmp_path: Path) -> None:
    async def scenario(mesh: MeshSide) -> None:
        events = trial(mesh)
        async with living(events, release(tmp_path)):
            for broken in ({}, {"a": "1"}, b'{"a":"1"}', b"{", b'{"a":NaN}', '{"a":1}'.encode("utf-16")):
                with pytest.raises(ContractBroken, match=r"event t breaks its contract: (\$|data)"):
                    await events.publish(broken, type="t")
            with pytest.raises(ContractBroken, match=r"its content is application/protobuf"):
                await events.publish(b"\x08\x01", type="t", content="application/protobuf")
            await events.publish({"a": 1}, type="t")
            await events.publish(b'{"a":2}', type="t")
            await events.publish("free", type="u")
        assert mesh.data == [b'{"a":1}', b'{"a":2}', b'"free"']
        assert mesh.hellos[0].checked

    run(scenario)


def test_a_contract_may_only_warn(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(mesh: MeshSide) -> None:
        events = trial(mesh)
        async with living(events, release(tmp_path, 'check = "warn"')):
            await events.publish({}, type="t")
            await events.publish(b"{", type="t")
        assert mesh.data == [b"{}", b"{"]

    run(scenario)
    assert "event t breaks its contract: $" in caplog.text


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("node.toml", "[[publishes]]\ntype = 1", r"expected \[\[publishes\]\] tables"),
        ("node.toml", "[", "node.toml: "),
        ("c/t.json", "{", "t.json: "),
        ("c/t.json", '{"type": "no"}', "t.json: "),
        ("c/t.json", " " * 300_000, "expected at most 262144 bytes"),
    ],
)
def test_a_contract_that_cannot_be_read_ends_the_start(
    tmp_path: Path, name: str, content: str, text: str
) -> None:
    (release(tmp_path) / name).write_text(content)

    async def scenario(mesh: MeshSide) -> None:
        with pytest.raises(ValueError, match=text):
            trial(mesh).open(tmp_path)

    run(scenario)
