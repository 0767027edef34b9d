"""What the network reads: pages and their annotations. No torch here.

A dataset on disk becomes a split along these folders:

| | |
|---|---|
| `folder`, `formats` | its files; a reader for each shape of dataset |
| `pages`, `inspection` | what a reference names, as a picture; every file opened once, in workers |
| `truth` | what a model is to answer: targets, normalisation, boxes as text |
| `checking` | every row judged, every problem told; rows on disk, memory by columns |
| `statistics` | lengths, figures, charts and contact sheets for `deepseek-ocr check` |
| `splitting` | whole clusters of documents to one side; what is written, and verified later |
| `exporting` | the same rows for other tools |
| `json_files` | strict, streaming JSON beneath it all |

`synthetic` draws datasets. Training and testing begin at `annotations` and `pages`; `augmentation`
wears pages for training.
"""
