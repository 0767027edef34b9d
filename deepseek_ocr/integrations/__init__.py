"""Other programs' plug-in interfaces over our reading; each needs the program it is for.

`docling` an OCR engine for docling.
"""
