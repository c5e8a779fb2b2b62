"""Evaluation: the cost of a text under a model in nats, perplexity and bits per byte; and memorization."""
