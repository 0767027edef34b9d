"""Annotations in the shapes that other tools for training read."""
