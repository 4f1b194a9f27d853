"""Runs exported folders in inference engines, each in a separate process, and compares them with the search."""
