"""Decoding: filters over logits, and the generation loop."""
