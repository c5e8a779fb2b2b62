"""Pages and pictures: self-contained HTML, PNG."""
