"""Plans, model shapes, search spaces, limits on plans, and hand-made plans."""
