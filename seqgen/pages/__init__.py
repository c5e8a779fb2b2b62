"""Pages and pictures: self-contained HTML, maps for the terminal, PNG."""
