"""Labelers: models that choose a label for a text, or for each of its words."""
