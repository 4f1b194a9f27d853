"""Commands, controller, strategies, results database and export of a search."""
