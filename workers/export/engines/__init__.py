"""Runs exported folders in engines of others, each in a process of its own, and compares them with the search."""
