"""How long may a client take? All in seconds."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Patience:
    greeting: float = 10.0
    """Until it is known which protocol it speaks."""
    first: float = 30.0
    """Until it has said who it is."""
    whole: float = 30.0
    """For one message, from its first byte to its last."""
    unread: float = 30.0
    """Until it reads anything of what waits for it."""
    quiet: float = 5.0
    """After which a side of a raw connection that has nothing to say says so."""
    deaf: float = 15.0
    """Without a word or an answer to a ping, after which the other side is gone."""
    look: float = 1.0
    """Between two looks at all raw connections."""


USUAL = Patience()
