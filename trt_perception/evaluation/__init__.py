"""Measures models: average precision and intersection over union, several precisions at once."""
