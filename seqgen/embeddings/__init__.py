"""Words as vectors: word2vec, and its text format."""
