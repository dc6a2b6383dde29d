"""The public contract between the programs."""
