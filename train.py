"""Train or fine-tune DeepSeek-OCR.

    python train.py --data_root /path/to/ocr_data --train_file ./data_split/train.json \\
        --model_path /path/to/deepseek-ocr-model --output_dir ./checkpoints \\
        --epochs 3 --batch_size 2
"""

from deepseek_ocr.cli.main import run

if __name__ == "__main__":
    raise SystemExit(run("train"))
