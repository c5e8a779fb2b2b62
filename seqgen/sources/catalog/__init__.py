"""Read the catalog, the corpora that `corpus:NAME` names, and download them. No torch."""
