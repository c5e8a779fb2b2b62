"""Runs that were trained on pairs: encoder-decoders, classifiers and taggers."""
