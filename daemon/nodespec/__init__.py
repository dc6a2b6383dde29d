"""What the programs share besides the wire: the node manifest and the form of a release."""
