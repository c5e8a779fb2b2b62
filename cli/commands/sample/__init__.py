"""`seqgen sample`: generate text, or compare continuations."""
