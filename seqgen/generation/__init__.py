"""From a model's logits to text: logits processors, the sampling loop, prompts, streams of characters."""
