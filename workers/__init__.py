"""Loads the model once and runs trials: apply a plan, tune the projector, evaluate, measure."""
