"""A clock that a test turns. It starts at noon and never turns back."""


class FakeClock:
    def __init__(self, at: float = 43_200.0) -> None:
        self._at = at

    def now(self) -> float:
        return self._at

    def advance(self, seconds: float) -> None:
        if seconds < 0:
            raise ValueError("time does not go back")
        self._at += seconds
