"""Files, text and progress: what every package uses and none owns."""
