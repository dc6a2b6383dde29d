"""Starts the catalogue."""

from .app import node

if __name__ == "__main__":
    node.main()
