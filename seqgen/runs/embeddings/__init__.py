"""Runs of word vectors: create, resume, load."""
