"""Objectives of plans: FLOPs and memory in closed form, answer metrics, Pareto fronts, hypervolume."""
