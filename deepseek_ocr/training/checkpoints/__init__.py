"""Folders that hold a run: whole or absent, and enough to go on exactly."""
