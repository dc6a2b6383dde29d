"""Which generators exist, and in which order are they asked?

A new one is one more file and one more line here.
"""

from regenerator.boundcache.propose import propose as bound_cache
from regenerator.proposal import Generator

GENERATORS: dict[str, tuple[Generator, ...]] = {
    "memory-growth": (bound_cache,),
}
