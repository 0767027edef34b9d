"""Check annotations and split them into train and test files.

python data_utils.py --data_root /path/to/ocr_data --output_dir ./data_split
"""

from deepseek_ocr.cli.main import run

if __name__ == "__main__":
    raise SystemExit(run("split"))
