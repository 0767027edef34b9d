"""Rows of JSON and lines of text, read strictly, in bounded memory, each with its line."""
