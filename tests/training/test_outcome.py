"""What a run says at its end: the best checkpoint, where the curves are, and what to do next."""

from __future__ import annotations

from deepseek_ocr.training import train


def test_a_run_ends_with_its_best_checkpoint_and_the_next_command(make_config, folder, capsys):
    config = make_config(epochs=1)
    (config.output_dir).mkdir()
    (config.output_dir / "curves.png").write_bytes(b"drawn")
    train(config)
    captured = capsys.readouterr()
    out = config.output_dir
    assert f"the best checkpoint is {out / 'best'} (epoch-1, loss " in captured.err
    assert "3 steps in " in captured.err and f"curves: {out / 'curves.png'}\n" in captured.err
    assert f"--test_file {folder / 'val.json'} --model_path {out / 'best'}" in captured.err
    assert captured.out == ""


def test_the_test_file_of_the_split_is_named_where_there_is_one(make_config, folder, capsys):
    test_file = folder / "test.json"
    test_file.write_bytes((folder / "val.json").read_bytes())
    train(make_config(epochs=1, val_file=None))
    test_file.unlink()
    told = capsys.readouterr().err
    assert f"--test_file {test_file} " in told
    assert "(nothing chose a best one)" in told


def test_figures_that_are_no_numbers_may_end_a_run_early(make_config, monkeypatch, capsys):
    from deepseek_ocr.training.validation.validator import Validator

    monkeypatch.setattr(Validator, "measure", lambda *_, **__: {"loss": float("nan")})
    train(make_config(eval_steps=1, patience=2))
    assert "2 validations without a better loss\n" in capsys.readouterr().err


def test_a_guard_alone_is_measured_and_chooses_nothing(make_config, folder, capsys):
    config = make_config(epochs=1, val_file=None, guard_file=folder / "val.json")
    assert train(config).name == "epoch-1"
    told = capsys.readouterr().err
    assert "step 3: guard loss " in told and "(nothing chose a best one)" in told
