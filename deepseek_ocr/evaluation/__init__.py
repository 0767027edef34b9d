"""How a model is judged: every row of a test file answered, scored, and shown in a report."""
