"""Adaptation: models that continue to learn while they read a text."""
