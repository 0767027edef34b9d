"""How text is compared. Needs no torch, knows no model and no file."""
