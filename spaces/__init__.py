"""What can be chosen: plans, model shapes, search spaces, limits, hand-made patterns."""
