"""What follows from what happens? Pure; time is an argument."""
