"""C for what torch cannot do as fast: the decoder's step on a CPU, and how it is built and called.

Nothing here is required: without a C compiler the same numbers come from torch.
"""
