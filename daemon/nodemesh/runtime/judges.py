"""Who says whether an event keeps its contract? One judge for each schema."""

import json
import logging

from nodekit.schema import NotJson, SchemaRefused, json_of, judge
from nodemesh.model.table import Contract
from nodemesh.runtime.publisher import Judge

log = logging.getLogger("nodemesh")
MOST = 1000


class Judges:
    def __init__(self) -> None:
        self._made: dict[str, Judge | None] = {}

    def of(self, contract: Contract) -> Judge | None:
        """None for a schema that cannot be used."""
        if contract.schema not in self._made:
            if len(self._made) > MOST:
                self._made.clear()
            self._made[contract.schema] = _judge(contract)
        return self._made[contract.schema]


def _judge(contract: Contract) -> Judge | None:
    try:
        check = judge(json.loads(contract.schema))
    except (SchemaRefused, ValueError) as error:
        log.error("events of type %s are not judged: %s", contract.type, error)
        return None

    def judged(data: bytes, content: str) -> str:
        try:
            return check(json_of(data, content))
        except NotJson as error:
            return f"$: {error}"

    return judged
