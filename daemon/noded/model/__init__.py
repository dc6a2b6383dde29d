"""Nouns: frozen dataclasses; no behaviour but derived properties and look-ups."""
