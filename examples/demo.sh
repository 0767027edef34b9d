#!/usr/bin/env bash
# The main job from beginning to end, on drawn receipts: draw, split, train, test, report.
# Every command is shown before it runs. Usage: examples/demo.sh [PYTHON] [FOLDER]
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:-python}
out=${2:-demo}

show() {
    printf '\n$' >&2
    printf ' %q' "$@" >&2
    printf '\n' >&2
    "$@" >&2
}

rm -rf "$out"
mkdir -p "$out"
# nano-untrained has the published architecture at 7.4 million parameters, and random weights: a few
# minutes on a CPU show every step and a falling loss, not yet a model that reads.
show "$python" -m deepseek_ocr.cli.main synth "$out/receipts" --count 80 --seed 1 \
    --kind receipts --size 512
show "$python" data_utils.py --data_root "$out/receipts" --output_dir "$out/data_split" \
    --prompt '<image>\nFree OCR.' --val_size 0.1
show "$python" train.py --config configs/tiny.yaml --data_root "$out/receipts" \
    --train_file "$out/data_split/train.json" --val_file "$out/data_split/val.json" \
    --model_path nano-untrained --output_dir "$out/checkpoints"
show "$python" test.py --data_root "$out/receipts" --test_file "$out/data_split/test.json" \
    --model_path "$out/checkpoints/best" --output_dir "$out/results" --max_new_tokens 400
printf '\nThe report, with every test page beside its truth and its prediction:\n'
printf '%s\n' "$PWD/$out/results/report.html"
