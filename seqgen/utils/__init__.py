"""Files, locks, text and progress: what every package uses."""
