"""Rows to batches: what each costs, which go together, how they are read, laid end to end, kept."""
