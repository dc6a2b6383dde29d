"""Could a stored value be made again, the same as it was and without doing anything twice?"""

import ast
from collections.abc import Iterable, Iterator

from regenerator.boundcache.code import Code, Function, last_name
from regenerator.boundcache.outside import Outside
from regenerator.boundcache.target import Target, Unfit

FRESH = frozenset(
    "uuid1 uuid4 urandom token_hex token_bytes token_urlsafe random randint randrange choice choices "
    "getrandbits randbytes shuffle SystemRandom".split()
)
EFFECTS = frozenset(
    "commit publish send sendall sendto sendmsg post charge capture refund transfer pay enqueue "
    "sendmail send_message unlink urlretrieve executemany executescript".split()
)


def judge_making(
    code: Code, function: Function, what: str, parts: Iterable[ast.AST], target: Target | None = None
) -> None:
    """Raises Unfit when making the value again would give another one, or might do something twice."""
    parts = list(parts)
    calls = [n for part in parts for n in ast.walk(part) if isinstance(n, ast.Call)]
    for call in calls:
        drawn = call.args[0] if last_name(call.func) == "next" and call.args else None
        if isinstance(drawn, ast.Name) and not function.is_local(drawn.id):
            raise Unfit(f"{what} comes from next({drawn.id}): made again it would be another one")
    for name, depth in _reachable(code, {last_name(call.func) for call in calls}):
        via = "" if depth == 0 else ", in a function it calls"
        if name in FRESH:
            raise Unfit(f"{what} comes from {name}(){via}: made again it would be another one")
        if name in EFFECTS:
            raise Unfit(f"{what} is made by calling {name}(){via}: made again it would act twice")
    Outside(code, what, target).judge(function, parts)


def _reachable(code: Code, called: set[str]) -> Iterator[tuple[str, int]]:
    """Names called, and called by functions of the release up to three calls deep."""
    seen: set[str] = set()
    wave = set(called)
    for depth in range(4):
        yield from ((name, depth) for name in sorted(wave))
        seen |= wave
        wave = {n for name in wave for f in code.functions_named(name) for n in f.calls} - seen
