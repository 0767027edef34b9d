"""How gradients become steps: the optimizer, its rate at each step, a running average."""
