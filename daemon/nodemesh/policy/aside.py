"""Which events become dead letters? They are in the making until somebody has kept them."""

from collections.abc import Iterable

from nodemesh.model.delivery import SetAside
from nodemesh.model.frame import Address


class Aside:
    def __init__(self) -> None:
        self._new: list[SetAside] = []
        self._unkept: set[Address] = set()

    def add(self, letter: SetAside) -> None:
        self._new.append(letter)
        self._unkept.add(letter.address)

    def take(self) -> tuple[SetAside, ...]:
        """Since the last call."""
        new, self._new = tuple(self._new), []
        return new

    def kept(self, letters: Iterable[SetAside]) -> list[Address]:
        """Of them those that are ours, each once: they are over now."""
        told = dict.fromkeys(letter.address for letter in letters)
        ours = [address for address in told if address in self._unkept]
        self._unkept.difference_update(ours)
        return ours
