"""What may an event say about itself? What no mesh would take is refused before it gets into a frame.

A frame that the mesh cannot take would be sent again for ever, and with it everything behind it.
"""

import re
from collections.abc import Mapping

from .frames import LONGEST_EVENT, Extra

LONGEST_SUBJECT = 1024
LONGEST_TYPE = 256
MOST_ATTRIBUTES = 32
ATTRIBUTE = re.compile("[a-z0-9]{1,20}")
CORE = frozenset("specversion id source type subject time datacontenttype dataschema data".split())
CONTROL = bytes((*range(32), 127))


class PublishRefused(Exception):
    """The mesh will not take this event; the text says why. It was not published."""


def weight(data: bytes, subject: str, extra: Extra | None) -> int:
    """What the rest of an event adds to its frame, about. Raises PublishRefused."""
    if len(data) > LONGEST_EVENT:
        raise PublishRefused(f"data: expected at most {LONGEST_EVENT} bytes, found {len(data)}")
    check_text("subject", subject, LONGEST_SUBJECT)
    return len(subject) + (len(extra.encode()) if extra else 0)


def check_text(where: str, text: str, most: int, least: int = 0) -> None:
    said = text.encode("utf-8", "replace")
    if not least <= len(said) <= most:
        raise PublishRefused(f"{where}: expected {least} to {most} bytes, found {len(said)}")
    if len(said.translate(None, CONTROL)) != len(said) or said.decode() != text:
        raise PublishRefused(f"{where}: expected no control characters, found {text[:64]!r}")


def check_attributes(attributes: Mapping[str, str]) -> Mapping[str, str]:
    """CloudEvents extension attributes. Raises PublishRefused."""
    if len(attributes) > MOST_ATTRIBUTES:
        raise PublishRefused(f"attributes: expected at most {MOST_ATTRIBUTES}, found {len(attributes)}")
    for name, value in attributes.items():
        if not ATTRIBUTE.fullmatch(name) or name in CORE:
            raise PublishRefused(
                "attributes: expected an extension's name, 1 to 20 of a-z and 0-9, not CloudEvents' own,"
                f" found {name[:64]!r}"
            )
        check_text(f"attributes: {name}", value, LONGEST_SUBJECT)
    return dict(attributes)
