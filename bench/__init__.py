"""Benchmarks: accuracy and speed against the plain ways, each with a card of what it ran on."""
