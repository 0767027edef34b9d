"""Which samples are for learning and which for judging, without leaks; what a split writes."""
