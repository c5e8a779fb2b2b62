"""Cache texts, tokenizers and ids on disk, so that a second run on the same text starts at once. No torch."""
