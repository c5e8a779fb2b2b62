"""Compression: a file coded by a model's own probabilities, without loss, in as many bits as evaluation says."""
