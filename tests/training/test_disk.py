"""A disk that is too small is noticed before the first step, or told plainly where it happens."""

from __future__ import annotations

import errno
from types import SimpleNamespace

import pytest

from deepseek_ocr.errors import EXIT_REFUSED, UserError
from deepseek_ocr.training import train
from deepseek_ocr.training.checkpoints import disk, saving
from deepseek_ocr.training.checkpoints.identity import describe_run
from deepseek_ocr.training.failures import TrainingError
from deepseek_ocr.training.processes.devices import accelerator_for
from deepseek_ocr.training.run import prepare, read_samples

from .runs import content_of, events_of

WAYS = {
    "full": {},
    "lora": {"tune": "lora"},
    "parts": {"parts": "vision"},
    "average": {"ema": 0.9},
    "adafactor": {"optimizer": "adafactor"},
}


@pytest.fixture
def room(monkeypatch):
    """Let so many bytes be free."""

    def give(free: int) -> None:
        usage = SimpleNamespace(total=10**12, used=0, free=free)
        monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: usage)

    return give


@pytest.mark.parametrize("settings", WAYS.values(), ids=WAYS)
def test_the_size_of_a_checkpoint_is_known_before_it_is_written(make_config, settings):
    config = make_config(max_steps=1, **settings)
    samples = read_samples(config)
    with accelerator_for("cpu", "auto") as accelerator:
        run = describe_run(config, samples.sha256, 1)
        expected = disk.checkpoint_bytes(prepare(config, samples, accelerator, run, None, True))
    last = train(config, quiet=True).parent / "last"
    tensors = [path for path in last.resolve().rglob("*.safetensors") if path.stem != "random"]
    headers = 80_000  # names and offsets of tensors
    assert 0 <= sum(path.stat().st_size for path in tensors) - expected < headers


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_disk_without_room_for_one_checkpoint_is_refused(make_config, room, dry_run):
    room(100_000)
    config = make_config(dry_run=dry_run)
    with pytest.raises(UserError, match=r"a checkpoint takes about \d+ MB, and 0 MB are") as caught:
        train(config, quiet=True)
    assert caught.value.exit_code == EXIT_REFUSED
    assert not config.output_dir.exists()


def test_a_disk_that_will_become_full_is_warned_of(make_config, room, capsys):
    room(10**7)
    train(make_config(epochs=1))
    told = capsys.readouterr().err
    assert "warning" not in told
    room(1_500_000)
    train(make_config("b", epochs=2))
    told = capsys.readouterr().err
    assert "room for 1, while the run comes to write 2 that stay; make room, or use --keep" in told


@pytest.mark.parametrize(
    "number, goes_on", [(1, "starts again from the beginning"), (2, "goes on")]
)
def test_a_disk_that_is_full_says_where_the_run_goes_on(make_config, monkeypatch, number, goes_on):
    original, count = saving.save_checkpoint, iter(range(1, 100))

    def full(*args, **kwargs):
        if next(count) == number:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(*args, **kwargs)

    config = make_config()
    with monkeypatch.context() as patched:
        patched.setattr(saving, "save_checkpoint", full)
        with pytest.raises(TrainingError) as caught:
            train(config, quiet=True)
    assert "No space left on device" in str(caught.value)
    assert str(caught.value).endswith(
        f"the same command then {goes_on}" + (" from epoch-1, after step 3" if number == 2 else "")
    )
    assert "error" in events_of(config)
    train(config, quiet=True)
    whole = make_config("whole")
    train(whole, quiet=True)
    assert content_of(config.output_dir / "last") == content_of(whole.output_dir / "last")


def test_a_log_that_cannot_be_written_does_not_hide_the_reason(make_config, monkeypatch):
    from deepseek_ocr import runlog

    original, full = runlog.append_line, []

    def append(path, line):
        if full:
            raise OSError(errno.ENOSPC, "No space left on device")
        original(path, line)

    def fail(*_, **__):
        full.append(True)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(runlog, "append_line", append)
    monkeypatch.setattr(saving, "save_checkpoint", fail)
    with pytest.raises(TrainingError, match="Make room"):
        train(make_config(), quiet=True)
