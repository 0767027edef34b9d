"""The label of what is not learned, for everything that makes or reads labels."""

IGNORE = -100
"""Prompt, image tokens and padding; what torch's cross entropy leaves out by default."""
