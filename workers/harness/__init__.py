"""The model `skipsearch` of lmms-eval: exported folders, and base models under a plan."""
