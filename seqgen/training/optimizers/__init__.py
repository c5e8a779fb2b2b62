"""What changes the weights at a step: AdamW, Muon, and the average of the weights that is evaluated."""
