"""What the network reads: pages and their annotations. No torch here.

A dataset on disk becomes a split along `folder` (its files), `formats` (a reader for each shape),
`checking` (every problem of every row), `grouping` and `splitting` (whole documents to one side)
and `split_files`. Training and testing begin at `annotations` and `pages`.
"""
