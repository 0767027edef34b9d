"""Folders that are whole or absent, links, and what a killed run leaves behind."""

from __future__ import annotations

import json

import pytest
import torch

from deepseek_ocr.errors import UserError
from deepseek_ocr.training.checkpoints import state
from deepseek_ocr.training.checkpoints.checkpoint import Position as At
from deepseek_ocr.training.checkpoints.checkpoint import (
    find_checkpoints,
    link,
    read_checkpoint,
    remove_left_overs,
    save_checkpoint,
)
from deepseek_ocr.training.checkpoints.state import (
    load_extra,
    load_optimizer,
    optimizer_tensors,
    random_states,
)
from deepseek_ocr.training.optimization.optimizer import Rates, make_optimizer

from .samples import small_model, small_processor

RATES = Rates(lr=1e-3, weight_decay=0.1)
RUN = {"settings": {}, "sha256": {}, "base_model": {"base_model": "small", "sha256": {}}}


@pytest.fixture(scope="module")
def stepped():
    """A model and its optimizer after one step."""
    model = small_model()
    model.model.vision_model.embeddings.patch_embedding.requires_grad_(False)
    optimizer = make_optimizer("adamw", model, RATES)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    return model, optimizer


def save(folder, name, stepped, step, **more):
    model, optimizer = stepped
    return save_checkpoint(
        folder,
        name,
        model=model,
        processor=small_processor(),
        optimizer=optimizer,
        position=At(step=step, best_value=0.1 + 0.2),
        run=RUN,
        **more,
    )


def test_checkpoints_are_found_in_the_order_of_their_steps(tmp_path, stepped):
    for name, step in (("epoch-2", 20), ("step-15", 15), ("epoch-1", 10)):
        save(tmp_path, name, stepped, step)
    (tmp_path / "epoch-9").mkdir()  # not one of ours: no state
    link(tmp_path, "last", "epoch-2")
    found = find_checkpoints(tmp_path)
    assert [checkpoint.path.name for checkpoint in found] == ["epoch-1", "step-15", "epoch-2"]
    assert found[0].position == At(step=10, best_value=0.1 + 0.2)  # to the last bit
    assert find_checkpoints(tmp_path / "absent") == []


def test_the_optimizer_comes_back_to_the_last_bit(tmp_path, stepped):
    model, optimizer = stepped
    path = save(tmp_path, "epoch-1", stepped, 1)
    other = make_optimizer("adamw", model, RATES)
    load_optimizer(path, model, other)
    before, after = (dict(optimizer_tensors(model, o)) for o in (optimizer, other))
    assert before.keys() == after.keys() and len(before) == 3 * len(optimizer.state)
    for name, tensor in before.items():
        assert torch.equal(tensor, after[name]), name


def test_state_of_what_does_not_train_is_refused(tmp_path, stepped):
    model, _ = stepped
    path = save(tmp_path, "epoch-1", stepped, 1)
    model = small_model()
    model.lm_head.requires_grad_(False)
    with pytest.raises(UserError, match=r"lm_head\.weight, which does not train"):
        load_optimizer(path, model, make_optimizer("adamw", model, RATES))


def test_a_damaged_state_is_a_plain_error(tmp_path, stepped):
    path = save(tmp_path, "epoch-1", stepped, 1)
    (path / "trainer_state" / "optimizer.safetensors").write_bytes(b"short")
    with pytest.raises(UserError, match=r"optimizer\.safetensors: cannot be read"):
        load_optimizer(path, *stepped)
    (path / "trainer_state" / "state.json").write_text(json.dumps({"position": 3}))
    with pytest.raises(UserError, match="not the state of a training run"):
        read_checkpoint(path)


def test_what_does_not_fit_into_a_file_goes_into_more_and_comes_back(
    tmp_path, stepped, monkeypatch
):
    model, optimizer = stepped
    monkeypatch.setattr(state, "MAX_FILE_BYTES", 100_000)
    path = save(tmp_path, "epoch-1", stepped, 1)
    folder = path / "trainer_state"
    assert {"optimizer", "optimizer-2", "optimizer-3"} <= {file.stem for file in folder.iterdir()}
    other = make_optimizer("adamw", model, RATES)
    load_optimizer(path, model, other)
    before, after = (dict(optimizer_tensors(model, o)) for o in (optimizer, other))
    assert before.keys() == after.keys()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    (folder / "optimizer-2.safetensors").unlink()
    with pytest.raises(UserError, match=r"optimizer-2\.safetensors: cannot be read"):
        load_optimizer(path, model, other)


def test_further_tensors_come_back_by_their_name(tmp_path, stepped):
    tensors = {"a": torch.arange(6.0).view(2, 3).T, "b": torch.tensor(7)}
    path = save(tmp_path, "epoch-1", stepped, 1, extra={"trained": tensors})
    found = load_extra(path, "trained")
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())
    with pytest.raises(UserError, match=r"other\.safetensors: cannot be read"):
        load_extra(path, "other")


def test_a_step_that_was_a_number_of_python_is_one_again(tmp_path, stepped):
    model, _ = stepped
    other = make_optimizer("adamw", model, RATES)
    parameter = model.lm_head.weight
    other.state[parameter] = {"step": 3, "state1": torch.zeros(5, dtype=torch.uint8)}
    path = save(tmp_path, "epoch-1", (model, other), 1)
    optimizer = make_optimizer("adamw", model, RATES)
    load_optimizer(path, model, optimizer)
    found = optimizer.state[parameter]
    assert type(found["step"]) is int and found["step"] == 3
    assert found["state1"].dtype == torch.uint8 and found["state1"].shape == (5,)


def test_a_checkpoint_of_a_run_that_chose_by_the_loss_alone_is_read(tmp_path, stepped):
    path = save(tmp_path, "epoch-1", stepped, 1)
    file = path / "trainer_state" / "state.json"
    content = json.loads(file.read_text())
    content["position"]["best_loss"] = content["position"].pop("best_value")
    del content["position"]["bad_validations"]
    file.write_text(json.dumps(content))
    assert read_checkpoint(path).position == At(step=1, best_value=0.1 + 0.2)


def test_a_folder_takes_the_place_of_an_older_one(tmp_path, stepped):
    save(tmp_path, "epoch-1", stepped, 1)
    save(tmp_path, "epoch-1", stepped, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["epoch-1"]
    assert read_checkpoint(tmp_path / "epoch-1").position.step == 2


def test_a_link_is_relative_and_can_be_moved(tmp_path):
    for name in ("epoch-1", "epoch-2"):
        (tmp_path / name).mkdir()
        link(tmp_path, "last", name)
    assert str((tmp_path / "last").readlink()) == "epoch-2"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["epoch-1", "epoch-2", "last"]


def test_what_a_killed_run_was_writing_is_removed_and_what_it_replaced_comes_back(tmp_path):
    for name in (".epoch-2.ab12.tmp", ".epoch-1.cd34.old", ".step-3.x.old", "step-3", "mine.tmp"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    (tmp_path / ".curves.png.abc.tmp").write_text("")
    (tmp_path / ".last.17.tmp").symlink_to("epoch-1")
    remove_left_overs(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"epoch-1", "step-3", "mine.tmp"}
    assert (tmp_path / "epoch-1" / "file").read_text() == ".epoch-1.cd34.old"
    assert (tmp_path / "step-3" / "file").read_text() == "step-3"


def test_random_states_are_tensors():
    assert all(state.dtype == torch.uint8 for state in random_states().values())
