"""noded-launcher: the only program of noded that forks. Standard library only."""
