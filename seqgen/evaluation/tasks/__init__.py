"""Measures of translations, labels and tags: outputs against references. No torch."""
