"""What a run measures on rows that it does not learn from."""
