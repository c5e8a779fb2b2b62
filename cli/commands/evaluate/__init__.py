"""`seqgen eval`: the figures of texts, and what each token, line and document costs."""
