"""From a model's logits to text: processors, the loop, prompts, streams of characters."""
