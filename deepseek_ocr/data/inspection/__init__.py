"""Every file of pictures opened once, in processes that may crash: hash, pages, sizes, faults."""
