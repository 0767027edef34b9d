"""Figures reach other programs, once a step, and nothing is imported that was not asked for."""

from __future__ import annotations

import struct
import subprocess
import sys
import types
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event

from deepseek_ocr.errors import UsageError, UserError
from deepseek_ocr.training.reporting import trackers
from deepseek_ocr.training.reporting.trackers import check_trackers, numbers, open_trackers, texts

REPOSITORY = Path(__file__).resolve().parents[2]


class Config:
    def to_json(self):
        return {"lr": 1e-3, "model_path": "nano"}


def track(folder, names, events):
    tracker = open_trackers(names, folder, Config())
    for event, figures, step in events:
        tracker.log(event, figures, step)
    tracker.close()


def records(content):
    """The records of a TFRecord file: each a length, its check sum, the bytes, and theirs."""
    while content:
        (length,) = struct.unpack_from("<Q", content)
        yield content[12 : 12 + length]
        content = content[16 + length :]


def read_events(folder):
    """(tag, step, number or text) of every event file in turn, less what later ones dropped."""
    found = []
    for path in sorted((folder / "tensorboard").iterdir()):
        for event in map(Event.FromString, records(path.read_bytes())):
            if event.HasField("session_log"):
                found = [entry for entry in found if entry[1] < event.step]
            for value in event.summary.value:
                number = value.simple_value
                text = b"".join(value.tensor.string_val).decode()
                found.append((value.tag, event.step, text or number))
    return found


@pytest.fixture
def installed(monkeypatch):
    """Lets a module of the test be found under a name."""

    def install(name, module):
        module.__spec__ = types.SimpleNamespace(name=name)
        monkeypatch.setitem(sys.modules, name, module)

    return install


def test_tensorboard_has_scalars_and_texts(tmp_path):
    events = [
        ("validation", {"loss": 2.0, "cer": 0.5, "guard_cer": 0.25}, 0),
        ("validation sample 1", {"row": "a", "prediction": "x\n# y", "cer": 0.5}, 0),
        ("step", {"epoch": 1, "step": 1, "loss": 1.5, "lr": 1e-3, "num_learned": 7}, 1),
        ("epoch", {"loss": 1.25}, 1),
    ]
    track(tmp_path, ["tensorboard"], events)
    found = {(tag, step): value for tag, step, value in read_events(tmp_path)}
    assert found["validation/cer", 0] == 0.5
    assert found["guard/cer", 0] == 0.25
    assert found["train/loss", 1] == 1.5
    assert found["train/num_learned", 1] == 7
    assert found["epoch/loss", 1] == 1.25
    assert ("train/epoch", 1) not in found
    texts = {tag: value for (tag, _), value in found.items() if isinstance(value, str)}
    assert any(value == "    x\n    # y" for value in texts.values()), texts
    assert any('"model_path": "nano"' in value for value in texts.values())


def test_a_run_that_goes_on_shows_no_step_twice(tmp_path):
    def steps(*numbers):
        return [("step", {"loss": float(step)}, step) for step in numbers]

    track(tmp_path, ["tensorboard"], [("validation", {"loss": 9.0}, 0), *steps(1, 2, 3, 4)])
    track(tmp_path, ["tensorboard"], steps(3, 4, 5))
    losses = [(step, value) for tag, step, value in read_events(tmp_path) if tag == "train/loss"]
    assert losses == [(1, 1.0), (2, 2.0), (3, 3.0), (4, 4.0), (5, 5.0)]


def test_nothing_is_written_before_the_first_figure(tmp_path):
    open_trackers(["tensorboard"], tmp_path, Config()).close()
    track(tmp_path, [], [("step", {"loss": 1.0}, 1)])
    assert list(tmp_path.iterdir()) == []


def test_numbers_and_texts_are_told_apart():
    figures = {"loss": 1, "ok": True, "reason": "x", "list": [1], "guard_wer": 0.5, "step": 3}
    assert numbers("validation", figures) == {"validation/loss": 1.0, "guard/wer": 0.5}
    assert texts("validation", figures) == {"validation/reason": "x"}


@pytest.mark.parametrize("name", ["wandb", "mlflow", "tensorboard"])
def test_what_is_not_installed_is_refused_with_the_command(name, tmp_path, monkeypatch):
    monkeypatch.setattr(trackers.importlib.util, "find_spec", lambda package: None)
    with pytest.raises(UsageError, match=rf"--track {name} needs .*pip install {name}"):
        check_trackers([name])
    with pytest.raises(UsageError):
        open_trackers([name], tmp_path, Config())


def test_trackers_are_imported_only_when_asked_for():
    code = (
        "import sys; from pathlib import Path\n"
        "from deepseek_ocr.training.reporting import trackers\n"
        "trackers.open_trackers((), Path('.'), None).log('step', {'loss': 1.0}, 1)\n"
        "assert not {'tensorboardX', 'wandb', 'mlflow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True)


class FakeWandb(types.ModuleType):
    """Keeps what it is given; like the real one it ignores steps that lie behind."""

    def __init__(self):
        super().__init__("wandb")
        self.runs, self.calls = {}, []

    def init(self, **arguments):
        self.calls.append(arguments)
        run_id = arguments["id"] or f"run{len(self.runs)}"
        run = self.runs.setdefault(run_id, types.SimpleNamespace(id=run_id, rows={}, ended=0))

        def log(figures, step):
            if step >= max(run.rows, default=0):
                run.rows.setdefault(step, {}).update(figures)

        def finish():
            run.ended += 1

        run.log, run.finish = log, finish
        return run


def test_wandb_gets_figures_and_goes_on_with_its_run(tmp_path, installed, monkeypatch):
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    wandb = FakeWandb()
    installed("wandb", wandb)
    track(tmp_path, ["wandb"], [("step", {"loss": 3.0}, 1), ("validation", {"cer": 0.5}, 1)])
    track(tmp_path, ["wandb"], [("step", {"loss": 2.0}, 2)])
    [run] = wandb.runs.values()
    assert run.rows == {1: {"train/loss": 3.0, "validation/cer": 0.5}, 2: {"train/loss": 2.0}}
    assert run.ended == 2
    assert wandb.calls[0]["project"] == "deepseek-ocr"
    assert wandb.calls[0]["config"]["model_path"] == "nano"
    assert [call["resume"] for call in wandb.calls] == [None, "allow"]


class FakeMlflow(types.ModuleType):
    """Keeps every figure that it is given, also those that it has."""

    def __init__(self):
        super().__init__("mlflow")
        self.history, self.params, self.files, self.ended = [], {}, {}, 0

    def set_experiment(self, name):
        self.experiment = name

    def start_run(self, run_id, run_name):
        self.name = run_name
        return types.SimpleNamespace(info=types.SimpleNamespace(run_id=run_id or "seven"))

    def log_params(self, params):
        self.params |= params

    def log_metrics(self, metrics, step):
        self.history += [(name, step, value) for name, value in metrics.items()]

    def log_text(self, text, path):
        self.files[path] = text

    def end_run(self):
        self.ended += 1

    def MlflowClient(self):
        def history(run_id, key):
            assert run_id == "seven"
            found = [step for name, step, _ in self.history if name == key]
            return [types.SimpleNamespace(step=step) for step in found]

        return types.SimpleNamespace(get_metric_history=history)


def test_mlflow_gets_figures_and_no_step_twice(tmp_path, installed, monkeypatch):
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    mlflow = FakeMlflow()
    installed("mlflow", mlflow)
    events = [
        ("step", {"loss": 3.0, "grad_norm": float("inf")}, 1),
        ("step", {"loss": 2.0}, 2),
        ("validation sample 1", {"truth": "abc"}, 2),
    ]
    track(tmp_path, ["mlflow"], events)
    track(tmp_path, ["mlflow"], [("step", {"loss": 2.0}, 2), ("step", {"loss": 1.0}, 3)])
    assert mlflow.history == [("train/loss", step, 4.0 - step) for step in (1, 2, 3)]
    assert mlflow.params == {"lr": "0.001", "model_path": "nano"}
    assert list(mlflow.files.values()) == ["abc"]
    assert mlflow.ended == 2
    assert mlflow.experiment == "deepseek-ocr"


def test_a_program_that_cannot_be_started_ends_the_run_with_advice(tmp_path, installed):
    def init(**_):
        raise RuntimeError("no api key")

    wandb = FakeWandb()
    wandb.init = init
    installed("wandb", wandb)
    tracker = open_trackers(["wandb"], tmp_path, Config())
    with pytest.raises(UserError, match=r"--track wandb: cannot be started .*no api key"):
        tracker.log("step", {"loss": 1.0}, 1)


def test_a_program_that_fails_later_is_left_out_and_told_of_once(tmp_path, installed, caplog):
    wandb = FakeWandb()
    installed("wandb", wandb)
    tracker = open_trackers(["wandb", "tensorboard"], tmp_path, Config())
    tracker.log("step", {"loss": 3.0}, 1)

    def gone(*_, **__):
        raise ConnectionError("server is gone")

    wandb.runs["run0"].log = gone
    for step in (2, 3):
        tracker.log("step", {"loss": 2.0}, step)
    tracker.close()
    assert [record.getMessage().count("server is gone") for record in caplog.records] == [1]
    steps = [step for tag, step, _ in read_events(tmp_path) if tag == "train/loss"]
    assert steps == [1, 2, 3]


def test_ids_that_cannot_be_read_begin_a_new_run(tmp_path, installed):
    (tmp_path / "tracking.json").write_text("{torn")
    wandb = FakeWandb()
    installed("wandb", wandb)
    track(tmp_path, ["wandb"], [("step", {"loss": 3.0}, 1)])
    assert wandb.calls[0]["id"] is None
    assert '"wandb": "run0"' in (tmp_path / "tracking.json").read_text()
