"""A dataset read whole: its usable samples, and every problem of every row."""
