"""`seqgen embed`: train word vectors, and look at them."""
