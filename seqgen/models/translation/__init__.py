"""Encoder-decoders: models that write a target for a source."""
