"""The catalogue: one recipe a corpus, read by `seqgen.sources.catalog.corpus`. Data only."""
