"""Decides which plan answers a question, before the language model runs."""
