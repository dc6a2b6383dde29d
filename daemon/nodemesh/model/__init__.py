"""What does the mesh know? Values only."""
