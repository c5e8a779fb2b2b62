"""Evaluation: the code length of a text under a model, in nats, perplexity and bits per byte."""
