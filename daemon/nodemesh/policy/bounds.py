"""How much may be offered to one consuming node, or fail there, before it has settled some of it?"""

AHEAD = 1024
"""Frames beyond which no more are read for a consumer that does not settle them."""
AHEAD_KEYED = 4096
"""More, because one key that waits for its next try must not hold up the others soon."""
AHEAD_EVENTS = 32_768
"""Events beyond which no more are read for one that asks for their order: each takes some 300 bytes."""
MOST_TRIALS = 8192
"""Failed events that wait for their next try, from which on no new ones are given: each has its reason, in
memory and in every cursor that is written. Those in hand by then may fail, too."""
KILLS = 2
"""Times an event may end its consumer while it is the only one in hand, and suspected."""
