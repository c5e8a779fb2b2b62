"""The charts of each measure, as data."""
