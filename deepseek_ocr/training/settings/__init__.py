"""What the flags of a run may hold, and what is refused before it starts."""
