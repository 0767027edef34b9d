"""Score a model on a test file.

    python test.py --data_root /path/to/ocr_data --test_file ./data_split/test.json \\
        --model_path /path/to/deepseek-ocr-model --output_dir ./results
"""

from deepseek_ocr.cli.main import run

if __name__ == "__main__":
    raise SystemExit(run("test"))
