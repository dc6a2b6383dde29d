"""What does the audit call a call? Only what changes something or reads what is protected has a name."""

import shlex
from typing import Any

from nodeapi.v1 import control_pb2 as pb

LONGEST = 200
SECRETS = ("secret", "token", "passw", "key", "credential")

ROLLOUTS = {
    pb.VERB_ABORT: "abort the rollout of",
    pb.VERB_PROMOTE: "promote the rollout of",
    pb.VERB_FINISH: "promote to the end the rollout of",
    pb.VERB_HOLD: "pause the rollout of",
    pb.VERB_CONTINUE: "resume the rollout of",
    pb.VERB_RETRY: "retry the rollout of",
    pb.VERB_ROLLBACK: "roll back",
}


def described(name: str, request: Any, whole: bool) -> str:
    """Empty for what everybody may know. `whole`: the caller sees settings where others see states."""
    match name:
        case "Command":
            verb = pb.Verb.Name(request.verb) if request.verb in pb.Verb.values() else f"order {request.verb}"
            words = ROLLOUTS.get(request.verb, verb.removeprefix("VERB_").lower())
            return line(
                words, request.node or "the host", request.version, "--force" if request.force else ""
            )
        case "Apply":
            planned = request is not None and request.header.plan_only
            return "" if planned else "apply"
        case "Restore":
            planned = request is not None and request.header.plan_only
            return "plan to restore a backup" if planned else "restore a backup"
        case "GetStatus" if whole and request.node:
            return line("describe", request.node)
        case "Explain" if whole:
            return line("explain", request.node or "the host")
        case "GetTrace" if whole:
            return line("read the trace", request.id)
        case "ListDead" if whole:
            return line("read dead events of", request.node or "all nodes")
        case _:
            return _of_events(name, request) or _of_many(name, request)


def _of_events(name: str, request: Any) -> str:
    match name:
        case "Tail":
            return line("read events", *(request.types or ("of all types",)))
        case "Show":
            return line("read the event", request.id)
        case "Send":
            return line("publish", request.type, request.subject)
        case "Replay":
            return line("replay events to", request.node, request.id, *request.types)
        case "RequeueDead" | "DropDead":
            count = f"{len(request.ids)} of them" if request.ids else "all of them"
            word = "requeue" if name == "RequeueDead" else "drop"
            return line(word, "dead events of", request.node, f"({count})")
        case _:
            return ""


def _of_many(name: str, request: Any) -> str:
    match name:
        case "ReadLogs":
            return line("logs", request.instance or request.node)
        case "Exec":
            return line("exec", request.instance or request.node, _shown(request.argv))
        case "ReadRelease" | "RunTests":
            word = "read the release" if name == "ReadRelease" else "test"
            return line(word, request.node, request.version)
        case "Bundle":
            return line("bundle", request.node or "the host")
        case "Backup":
            return "backup"
        case "ReadAudit":
            return "read the audit"
        case _:
            return ""


def done(response: Any) -> str:
    """What only the answer tells: the name of what was done, or empty."""
    match response:
        case pb.ApplyResponse():
            hard = any(conflict.kind != "warning" for conflict in response.conflicts)
            words = ["--force"] * hard + ["--supersede"] * bool(response.lost)
            return line("apply", response.node, response.to_version, *words)
        case pb.ExecResponse():
            return line("exec in", response.instance, f"ended with {response.exit_code}")
        case pb.RestoreResponse():
            return line("restore", *(f"{n.node} {n.version} ({n.result})" for n in response.nodes))
        case _:
            return ""


def _shown(argv: Any) -> str:
    """A command line without what looks like a secret in it."""
    words: list[str] = []
    hide = False
    for word in argv:
        told = any(part in word.lower() for part in SECRETS)
        name, given, _ = word.partition("=")
        if hide:
            words.append("***")
        elif told and given:
            words.append(f"{name}=***")
        else:
            words.append(word)
        hide = told and not given and word.startswith("-") and not hide
    return shlex.join(words)


def line(*words: str) -> str:
    """One short printable line, whatever the caller wrote."""
    text = " ".join(filter(None, words))
    shown = "".join(letter if letter.isprintable() else "?" for letter in text[: LONGEST + 1])
    return shown if len(shown) <= LONGEST else shown[: LONGEST - 3] + "..."
