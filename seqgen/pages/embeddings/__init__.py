"""Pictures of word vectors in two dimensions: a page, and PNG or SVG."""
