"""For which consuming nodes is a frame? The others are not even asked: there may be a thousand."""

from collections.abc import Iterable, Mapping

from nodemesh.model.frame import Stored
from nodemesh.runtime.consumer import ConsumingNode


class Takers:
    def __init__(self, consumers: Mapping[str, ConsumingNode]) -> None:
        self._consumers = consumers
        self._by_type: dict[str, list[ConsumingNode]] = {}

    def sort(self) -> None:
        """Who consumes what has changed."""
        self._by_type = {}
        for node in self._consumers.values():
            for type in node.delivery.consumer.types:
                self._by_type.setdefault(type, []).append(node)

    def of(self, stored: Stored) -> Iterable[ConsumingNode]:
        if stored.to:
            return [self._consumers[stored.to]] if stored.to in self._consumers else []
        types = stored.head.types
        if len(types) == 1:
            return self._by_type.get(types[0], ())
        return dict.fromkeys(node for type in types for node in self._by_type.get(type, ()))
