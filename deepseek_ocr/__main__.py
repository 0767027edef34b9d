"""`python -m deepseek_ocr COMMAND ...` is `deepseek-ocr COMMAND ...`."""

from .cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
