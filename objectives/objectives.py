"""The objectives of a search, in the order of the study's values."""

OBJECTIVES = ("accuracy", "flops_ratio")
MAXIMIZE = (True, False)

#: Corner of the hypervolume: no right answer, at the cost of the dense model. Hypervolumes lie in [0, 1].
REFERENCE = (0.0, 1.0)
