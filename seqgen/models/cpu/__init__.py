"""Fast paths for the CPU, each with a plain twin."""
