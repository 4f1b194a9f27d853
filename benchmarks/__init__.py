"""Scripts that show how fast and how good the search is; each prints a table with its machine and versions."""
