"""Where a run computes: the device, its number format, and other processes."""
