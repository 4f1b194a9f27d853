"""What plans are judged by: FLOPs and memory in closed form, answer metrics, Pareto fronts, hypervolume."""
