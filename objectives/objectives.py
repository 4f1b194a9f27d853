"""The objectives of a search, in the order of the study's values."""

OBJECTIVES = ("accuracy", "flops_ratio")
"""Names of the objectives."""
MAXIMIZE = (True, False)
"""Per objective, True if it is maximized."""
REFERENCE = (0.0, 1.0)
"""Reference point of the hypervolume: no right answer at the cost of the dense model. Hypervolumes are in [0, 1]."""
COST_NAMES = {"flops": "FLOPs", "sparse_flops": "sparse FLOPs", "latency": "latency"}
"""Cost that a search can minimize -> its name for people. A ratio is that cost divided by the dense model's."""
