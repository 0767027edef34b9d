"""C for what torch cannot do as fast on a CPU, and how it is built and called.

The decoder's step, linear layers and experts over many rows, the encoders' attention. Nothing here
is required: without a C compiler the same numbers come from torch.
"""
