"""Files -> documents -> ids -> batches; splits; the catalogue's reader."""
