"""The catalogue: one recipe a corpus, read by `seqgen.data.catalogue`. Data only."""
