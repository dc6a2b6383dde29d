"""How is an action told in one line of a story? `StartInstance shop.2 1.0 inactive "why"`."""

from noded.model.actions import (
    Action,
    AdoptInstance,
    Answer,
    InstallRoute,
    InstallTable,
    Note,
    RecordNode,
    RecordRelease,
    Regenerate,
    RemoveRoute,
    RenewShare,
    RenewTable,
    ShrinkCaches,
    StartInstance,
    StopInstance,
    WakeAt,
)
from noded.runtime import codec
from tests.playbooks.facts import moment

KINDS = tuple(codec.members(Action))


def told(action: Action) -> str:
    if isinstance(action, Note):
        return f'Note "{action.reason}"'
    subject = getattr(action, "instance", "") or action.node or "-"
    words = [type(action).__name__, subject, *_details(action)]
    if action.reason:
        words.append(f'"{action.reason}"')
    return " ".join(words)


def _details(action: Action) -> list[str]:
    match action:
        case StartInstance():
            return [action.version, "active" if action.active else "inactive"]
        case AdoptInstance():
            return ["ready" if action.ready else "starting"]
        case StopInstance():
            return [action.signal]
        case ShrinkCaches():
            return [f"{action.fraction:g}"]
        case Regenerate():
            return [action.incident, f"{action.version}->{action.next_version}"]
        case WakeAt():
            return [moment(action.at)]
        case Answer():
            return [word for word in (action.kind, action.effect, f'"{action.text}"') if word]
        case _:
            return _details_of_tables(action)


def _details_of_tables(action: Action) -> list[str]:
    """Of what the proxy and the registry are told."""
    match action:
        case InstallRoute() | RenewShare():
            servers = [f"{server.instance}={server.place}" for server in action.route.servers]
            share = [f"share={action.route.share:.0%}"] if action.route.share else []
            return [str(action.route.port), *servers, *share]
        case RemoveRoute():
            return [str(action.port)]
        case InstallTable() | RenewTable():
            return [str(action.number)]
        case RecordRelease():
            return [action.version]
        case RecordNode():
            return [action.version, str(action.desired)]
        case _:
            return []
