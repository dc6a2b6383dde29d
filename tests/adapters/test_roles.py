"""Is each call open to the role that needs it, and is everybody in the role policy.toml gives?"""

import os
import threading
from dataclasses import replace
from typing import Any

import pytest

from nodeapi.v1 import control_pb2 as pb
from nodeapi.v1 import mesh_pb2
from noded.adapters.mesh_relay import ASKED
from noded.adapters.peercred import Caller
from noded.adapters.roles import NEEDED, Known, Members, Role, Roles, known, needed
from tests.adapters.looped import looped

SERVICE = "/nodeapi.v1.ControlService/"
ANNA = Known("anna", frozenset({100, 44}), frozenset({"users", "shop"}))
NONE = Members((), (), ())


def test_every_call_stands_in_the_table() -> None:
    service = pb.DESCRIPTOR.services_by_name["ControlService"]
    of_mesh = [*ASKED, "Tail"]
    assert sorted(NEEDED) == sorted([*(method.name for method in service.methods), *of_mesh])


def test_of_the_meshs_calls_only_the_table_is_noded_own() -> None:
    service = mesh_pb2.DESCRIPTOR.services_by_name["MeshControl"]
    assert {method.name for method in service.methods} - {*ASKED, "Tail"} == {"SetTable"}


CALLS: list[tuple[str, Any, Role]] = [
    ("Apply", pb.ApplyRequest(header=pb.ApplyHeader(plan_only=True)), Role.VIEWER),
    ("Apply", pb.ApplyRequest(header=pb.ApplyHeader()), Role.ADMIN),
    ("Apply", pb.ApplyRequest(chunk=b"x"), Role.ADMIN),
    ("Apply", None, Role.ADMIN),
    ("Command", pb.CommandRequest(verb=pb.VERB_STOP), Role.OPERATOR),
    ("Command", pb.CommandRequest(verb=pb.VERB_APPROVE), Role.OPERATOR),
    ("Command", pb.CommandRequest(verb=pb.VERB_REMOVE), Role.ADMIN),
    ("Command", pb.CommandRequest(verb=pb.VERB_ROLLBACK), Role.OPERATOR),
    ("Command", pb.CommandRequest(verb=pb.VERB_ROLLBACK, force=True), Role.ADMIN),
    ("Restore", pb.RestoreRequest(header=pb.RestoreHeader(plan_only=True)), Role.ADMIN),
    ("GetStatus", pb.GetStatusRequest(), Role.VIEWER),
    ("ReadLogs", pb.ReadLogsRequest(), Role.OPERATOR),
    ("GetVersion", pb.GetVersionRequest(), Role.NOBODY),
    ("NoSuchCall", None, Role.ADMIN),
]


@pytest.mark.parametrize(("name", "request_", "role"), CALLS, ids=lambda part: str(part)[:20].strip())
def test_what_a_call_needs(name: str, request_: Any, role: Role) -> None:
    assert needed(SERVICE + name, request_) is role


def test_whether_it_is_up_is_told_to_everybody_and_nothing_that_only_looks_like_it() -> None:
    assert needed("/grpc.health.v1.Health/Check", None) is Role.NOBODY
    assert needed("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", None) is Role.NOBODY
    assert needed("/grpc.other.Service/Stop", None) is Role.ADMIN
    assert needed("/x/grpc.health.v1.Health/Check", None) is Role.ADMIN


MEMBERS = [
    (replace(NONE, viewer=("*",)), Role.VIEWER),
    (replace(NONE, operator=("user:anna",)), Role.OPERATOR),
    (replace(NONE, operator=("group:shop",)), Role.OPERATOR),
    (replace(NONE, operator=("uid:1001",)), Role.OPERATOR),
    (replace(NONE, operator=("gid:44",)), Role.OPERATOR),
    (replace(NONE, operator=("gid:7",)), Role.OPERATOR),
    (replace(NONE, operator=("user:ann", "group:sho", "uid:100", "gid:4", "gid:1001")), Role.NOBODY),
    (Members(("*",), ("user:anna",), ("group:users",)), Role.ADMIN),
    (NONE, Role.NOBODY),
]


@pytest.mark.parametrize(("members", "role"), MEMBERS, ids=lambda part: str(part)[:60])
@looped
async def test_who_is_what(members: Members, role: Role) -> None:
    roles = Roles(lambda: members, lookup=lambda uid: ANNA)
    assert await roles.of(Caller(1001, 7, 1)) is role


@looped
async def test_root_nodeds_own_user_and_admins_of_noded_toml_are_always_administrators() -> None:
    def fails(uid: int) -> Known:
        raise AssertionError("nobody needs to be asked")

    roles = Roles(lambda: NONE, frozenset({1005}), lookup=fails)
    for uid in (0, os.geteuid(), 1005):
        assert await roles.of(Caller(uid, 7, 1)) is Role.ADMIN


@looped
async def test_databases_are_asked_once_in_a_while() -> None:
    asked: list[int] = []
    now = 0.0

    def lookup(uid: int) -> Known:
        asked.append(uid)
        return ANNA if len(asked) == 1 else Known("", frozenset(), frozenset())

    roles = Roles(lambda: Members(operator=("user:anna",)), clock=lambda: now, lookup=lookup)
    assert [await roles.of(Caller(1001, 7, 1)) for _ in range(3)] == [Role.OPERATOR] * 3
    assert asked == [1001]
    now = 6.0
    assert await roles.of(Caller(1001, 7, 1)) is Role.VIEWER
    assert asked == [1001, 1001]


@looped
async def test_a_database_that_hangs_takes_names_and_groups_and_nothing_else() -> None:
    release = threading.Event()

    def hangs(uid: int) -> Known:
        release.wait(20)
        return ANNA

    roles = Roles(lambda: Members(operator=("user:anna",), admin=("uid:1002",)), lookup=hangs)
    try:
        assert await roles.of(Caller(1001, 7, 1)) is Role.VIEWER
        assert await roles.of(Caller(1001, 7, 1)) is Role.VIEWER
    finally:
        release.set()


def test_the_real_databases() -> None:
    root = known(0)
    assert (root.name, 0 in root.groups, "root" in root.names) == ("root", True, True)
    assert known(2**31 - 7) == Known("", frozenset(), frozenset())
