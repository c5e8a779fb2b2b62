"""The catalog: the corpora that `corpus:NAME` names, and their downloads. No torch."""
