"""What a run says of itself: figures, curves, and other programs that keep them."""
