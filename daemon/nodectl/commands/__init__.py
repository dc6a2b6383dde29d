"""One file per verb or closely related group: ask noded, then show what it said."""
