"""One file per technology; the only files that import it."""
