"""The catalog: one spec per corpus, read by `seqgen.sources.catalog.corpus`. Data only."""
