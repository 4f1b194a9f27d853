"""Measurements behind the tables in `docs/`: what is true of the embedded model, and who finds it fastest."""
