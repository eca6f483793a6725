"""Checkpoints: whole or not there."""

import json
import logging
from pathlib import Path

import pytest
import torch

from distrain.errors import CheckpointError
from distrain.train.checkpoint import SavedState, commit, load, newest_good

DIGESTS = {"plan": "a", "prepared dataset": "b", "configuration": "c"}


def saved(step: int) -> SavedState:
    tensors = {"model.w": torch.full((3,), float(step)), "optimizer.step": torch.tensor(1.0)}
    return SavedState(step, DIGESTS, {"loss": 0.1 + step, "value": float("nan")}, tensors)


def test_what_was_saved_comes_back_with_the_same_bits(tmp_path: Path) -> None:
    commit(tmp_path, saved(7), keep=3)
    found = load(tmp_path, 7, DIGESTS)
    assert found.step == 7
    assert found.state["loss"] == 7.1
    assert torch.equal(found.tensors["model.w"], torch.full((3,), 7.0))
    assert found.tensors["optimizer.step"].shape == ()


def test_the_newest_are_kept(tmp_path: Path) -> None:
    for step in (1, 20, 3):
        commit(tmp_path, saved(step), keep=2)
    names = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert names == {"step-20", "step-3"}
    assert newest_good(tmp_path) == 20


def test_there_may_be_none(tmp_path: Path) -> None:
    assert newest_good(tmp_path) is None


@pytest.mark.parametrize("name", ["state.safetensors", "manifest.json"])
@pytest.mark.parametrize("damage", ["cut", "changed", "missing"])
def test_a_damaged_one_is_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, damage: str
) -> None:
    commit(tmp_path, saved(1), keep=3)
    path = commit(tmp_path, saved(2), keep=3) / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    {
        "cut": lambda: path.write_bytes(path.read_bytes()[:-2]),
        "changed": lambda: path.write_bytes(content),
        "missing": path.unlink,
    }[damage]()
    with caplog.at_level(logging.WARNING):
        assert newest_good(tmp_path) == 1
    is_uncommitted = (name, damage) == ("manifest.json", "missing")
    assert ("passed over" in caplog.text) is not is_uncommitted


def test_a_torn_one_is_written_again(tmp_path: Path) -> None:
    (commit(tmp_path, saved(4), keep=3) / "manifest.json").unlink()
    commit(tmp_path, saved(4), keep=3)
    assert newest_good(tmp_path) == 4


def test_state_of_another_run_is_refused_with_what_differs(tmp_path: Path) -> None:
    commit(tmp_path, saved(4), keep=3)
    others = {**DIGESTS, "plan": "x", "configuration": "y"}
    with pytest.raises(CheckpointError, match="made with another plan, another configuration"):
        load(tmp_path, 4, others)


def test_nothing_in_it_is_pickled(tmp_path: Path) -> None:
    folder = commit(tmp_path, saved(4), keep=3)
    assert {path.suffix for path in folder.iterdir()} == {".safetensors", ".json"}
    assert json.loads((folder / "manifest.json").read_text())["step"] == 4
