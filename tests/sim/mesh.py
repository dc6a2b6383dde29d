"""A mesh that keeps the newest table and shares events by it, in the simulated world."""

from dataclasses import dataclass

from noded.model.mesh import Table


@dataclass(slots=True)
class Mesh:
    up: bool = True
    starts: int = 1
    table: Table | None = None

    @property
    def generation(self) -> str:
        return f"m{self.starts}"

    @property
    def number(self) -> int:
        return self.table.number if self.table else 0

    def take(self, table: Table) -> str:
        """Why it does not; empty when it does."""
        if table.number < self.number:
            return f"table {table.number} is older than {self.number}"
        self.table = table
        return ""

    def restart(self, with_its_disk: bool) -> None:
        self.starts += 1
        if not with_its_disk:
            self.table = None
