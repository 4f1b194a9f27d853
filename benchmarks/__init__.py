"""Benchmarks of the search's speed and quality; each prints a table with its machine and versions."""
