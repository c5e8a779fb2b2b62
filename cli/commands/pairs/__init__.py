"""The commands of runs that learn from pairs."""
