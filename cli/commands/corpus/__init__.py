"""The commands about corpora: list, download, check, encode."""
