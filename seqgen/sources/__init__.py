"""Read files, folders, archives, stdin and the catalog into documents. No torch."""
