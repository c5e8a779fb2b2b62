"""Run directories: create, load, resume, summarize."""
