"""The index of the mesh in memory. It passes the same contract suite as `SqliteIndex`."""

from collections import Counter
from collections.abc import Mapping, Sequence

from nodemesh.model.cursor import Cursor, Dead
from nodemesh.model.frame import BEFORE_ALL, Address
from nodemesh.ports import Unavailable


class FakeIndex:
    def __init__(self) -> None:
        self.kept: dict[str, Cursor] = {}
        self.letters: dict[tuple[str, Address], tuple[Dead, bytes]] = {}
        self.problem = ""
        """While it is not empty, saving fails with it."""
        self.hardened = 0

    async def cursors(self) -> Mapping[str, Cursor]:
        return dict(self.kept)

    async def save(self, cursors: Mapping[str, Cursor], dead: Sequence[tuple[Dead, bytes]]) -> None:
        self._try()
        self.kept.update(cursors)
        self.letters.update({(letter.node, letter.address): (letter, frame) for letter, frame in dead})

    async def harden(self) -> None:
        self._try()
        self.hardened += 1

    async def forget(self, node: str) -> None:
        self._try()
        self.kept.pop(node, None)
        for key in [key for key in self.letters if key[0] == node]:
            del self.letters[key]

    async def dead(self, node: str, most: int, after: Address = BEFORE_ALL) -> Sequence[tuple[Dead, bytes]]:
        """The oldest first."""
        its = (pair for key, pair in self.letters.items() if key[0] == node)
        found = sorted((pair for pair in its if _place(pair) > (after.position, after.place)), key=_place)
        return found[:most]

    async def letter(self, node: str, address: Address) -> tuple[Dead, bytes] | None:
        return self.letters.get((node, address))

    async def count_dead(self) -> Mapping[str, int]:
        return Counter(node for node, _ in self.letters)

    async def drop_dead(self, dead: Sequence[Dead]) -> None:
        self._try()
        for letter in dead:
            self.letters.pop((letter.node, letter.address), None)

    async def close(self) -> None:
        pass

    def _try(self) -> None:
        if self.problem:
            raise Unavailable(self.problem)


def _place(pair: tuple[Dead, bytes]) -> tuple[int, int]:
    return pair[0].address.position, pair[0].address.place
