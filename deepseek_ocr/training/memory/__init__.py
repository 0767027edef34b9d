"""What a run will need, said and tried before it starts."""
