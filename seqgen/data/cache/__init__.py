"""The cache of texts, tokenizers and ids on disk, under names that are hashes of what made them. No torch."""
