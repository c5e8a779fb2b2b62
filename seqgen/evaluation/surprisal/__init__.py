"""Where a text is hard for a model: nats by token, line and document, and what the model expected instead."""
