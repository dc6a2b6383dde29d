"""The moving parts: they know ports, not technologies."""
