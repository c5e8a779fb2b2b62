"""The transformer: the model, its position encodings, its stepper."""
