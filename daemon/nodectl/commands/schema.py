"""`schema`: what may stand in node.toml and noded.toml, as JSON Schema."""

from nodectl.documents import write
from nodectl.session import Session


def schema(session: Session, what: str) -> None:
    """JSON unless YAML was asked for: a schema has no table."""
    if what == "node":
        from nodespec.reading import schema as whole
    else:
        from nodespec.host import schema as whole

    content = {"$schema": "https://json-schema.org/draft/2020-12/schema", **whole()}
    write(content, "yaml" if session.output == "yaml" else "json")
