"""What a text is made of, and what looks wrong in it. No torch."""
