"""Mixtures of runs: train members, mix runs that exist, resume, and the record of the weights."""
