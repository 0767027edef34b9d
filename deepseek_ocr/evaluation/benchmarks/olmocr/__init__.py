"""The checks of olmOCR-bench: small facts about a page that its answer holds or does not."""
