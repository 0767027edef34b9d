"""Pages drawn while training, and the heads that name their glyphs."""
