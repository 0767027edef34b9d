"""The true text: structured truth and the answer made of it, normalisation, boxes as text."""
