"""Does the map say who is how far behind, since when, and what was set aside?"""

from collections.abc import Mapping

from nodeapi.v1 import mesh_pb2
from nodemesh.adapters.table_file import table_of
from nodemesh.ports import Unavailable
from nodemesh.runtime.desk import Desk
from tests.adapters.looped import looped, until
from tests.fakes.mesh_index import FakeIndex
from tests.nodemesh.runtime.desk_room import AT, DeskRoom, desk_room
from tests.nodemesh.runtime.mesh_room import PAID, PLACED, room, taken


class GoingIndex(FakeIndex):
    is_gone = False

    async def count_dead(self) -> Mapping[str, int]:
        if self.is_gone:
            raise Unavailable("the disk is gone")
        return await super().count_dead()


async def flow(room: DeskRoom, type: str, consumer: str) -> mesh_pb2.Flow:
    found = await room.desk.get_map(mesh_pb2.MapRequest())
    return next(one for one in found.flows if (one.type, one.consumer) == (type, consumer))


@looped
async def test_every_type_with_each_who_publishes_and_consumes_it() -> None:
    async with desk_room() as room:
        found = await room.desk.get_map(mesh_pb2.MapRequest())
        assert [(f.type, f.publisher, f.consumer) for f in found.flows] == [
            (PAID, "a", "c"),
            (PLACED, "a", "b"),
            (PLACED, "a", "c"),
        ]
        assert (found.table, found.generation, found.newest) == (1, "1.7", 0)
        brief = await room.desk.get_map(mesh_pb2.MapRequest(brief=True))
        assert (brief.table, brief.generation, len(brief.flows)) == (1, "1.7", 0)


@looped
async def test_who_is_behind_and_since_when() -> None:
    async with desk_room() as room:
        a, b = await room.mesh.publisher(), await room.mesh.session("b.1")
        await a.say(b"1", b"2", b"3")
        await a.until(3)
        one = await flow(room, PLACED, "b")
        assert (one.published, one.lag, one.sessions, one.dead) == (3, 3, 1, 0)
        assert abs(one.oldest - (room.mesh.broker.world.clock.wall() - AT)) < 10
        b.settle(mesh_pb2.Settle(through=(await taken(b)).delivery.number, granted=1000))
        one = await flow(room, PLACED, "b")
        assert (one.lag, one.oldest, one.acked) == (0, 0.0, 3)
        assert (await flow(room, PLACED, "c")).oldest > 0


@looped
async def test_what_versions_did_is_told_for_a_second_s_question() -> None:
    async with desk_room() as room:
        a, b = await room.mesh.publisher(), await room.mesh.session("b.1")
        await a.say(b"1", b"2", b"3")
        await a.until(3)
        b.settle(mesh_pb2.Settle(through=(await taken(b)).delivery.number, granted=1000))
        asked = mesh_pb2.MapRequest(brief=True, nodes=["b", "nobody"])
        told = await room.desk.get_map(asked)
        assert (told.table, told.generation, told.log_limit) == (1, "1.7", 0)
        (only,) = told.flows
        (version,) = only.versions
        assert (only.consumer, only.acked, version.delivered, version.acked) == ("b", 3, 3, 3)
        assert (version.first, version.first_failed) == (0, 0)


@looped
async def test_the_map_is_there_while_the_index_cannot_be_read() -> None:
    index = GoingIndex()
    async with desk_room(index=index) as room:
        a, b = await room.mesh.publisher(), await room.mesh.session("b.1")
        await a.say(b"1")
        await taken(b)
        failed = mesh_pb2.Failed(delivery=1, how=mesh_pb2.Failed.REJECT, reason="no")
        b.settle(mesh_pb2.Settle(failed=[failed]))

        async def dead() -> bool:
            return (await flow(room, PLACED, "b")).dead == 1

        await until(dead)

        index.is_gone = True
        assert await dead()


@looped
async def test_damaged_files_are_told_whoever_asks_for_them() -> None:
    torn = mesh_pb2.Damaged(file="/s/aside/7.db", lost=12, why="a page is torn")
    async with room() as mesh:
        world = mesh.broker.world
        desk = Desk(mesh.broker, world, "1.7", 1 << 30, (table_of, lambda _: None), lambda: [torn])
        for asked, told in (({}, 1), ({"brief": True}, 0), ({"brief": True, "damaged": True}, 1)):
            found = await desk.get_map(mesh_pb2.MapRequest(**asked))
            assert list(found.damaged) == [torn] * told
