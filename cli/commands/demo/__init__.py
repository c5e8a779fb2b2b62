"""`seqgen demo`: what seqgen does, in one command."""
