"""From files that people have to text: formats by suffix, archives as folders, foreign files by name. No torch."""
