"""Checkpoints: whole or not there."""

import errno
import hashlib
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from distrain.errors import CheckpointError
from distrain.train.checkpoint import (
    SavedState,
    clear_after,
    commit,
    newest_good,
    read,
    restore,
    retain,
)

DIGESTS = {"plan": "a", "prepared dataset": "b", "kind of device": "cpu"}


def saved(step: int) -> SavedState:
    tensors = {
        "model.w": torch.full((3,), float(step)),
        "model.flags": torch.tensor([True, False, True]),
        "optimizer.step": torch.tensor(1.0),
        "best.half": torch.arange(4, dtype=torch.bfloat16).view(2, 2).T,
        "best.count": torch.tensor(2**40),
        "best.none": torch.empty(0, 5),
    }
    return SavedState(step, DIGESTS, {"loss": 0.1 + step, "value": float("nan")}, tensors)


def names(run_dir: Path) -> set[str]:
    return {path.name for path in (run_dir / "checkpoints").iterdir()}


def test_what_was_saved_comes_back_with_the_same_bits(tmp_path: Path) -> None:
    commit(tmp_path, saved(7))
    found = restore(read(tmp_path, 7), DIGESTS, tmp_path)
    assert found.step == 7
    assert found.state["loss"] == 7.1
    for name, value in saved(7).tensors.items():
        assert torch.equal(found.tensors[name], value)
        assert found.tensors[name].dtype == value.dtype


def test_there_may_be_none(tmp_path: Path) -> None:
    assert newest_good(tmp_path) is None
    clear_after(tmp_path, None)
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize(
    ("best_step", "kept"),
    [
        (None, {20, 40}),
        (1, {1, 20, 40}),
        (2, {3, 20, 40}),  # the first one after it
        (20, {20, 40}),
        (41, {20, 40}),  # it will be the next one
    ],
)
def test_the_newest_and_the_best_are_kept(
    tmp_path: Path, best_step: int | None, kept: set[int]
) -> None:
    for step in (1, 20, 3, 10, 40):
        commit(tmp_path, saved(step))
    retain(tmp_path, 2, best_step)
    assert names(tmp_path) == {f"step-{step}" for step in kept}


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2])


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def fill_with_zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def become_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: list[Callable[[Path], None]] = [cut, flip_a_bit, empty, fill_with_zeros, become_a_folder]


def changed(path: Path, change: Callable[[Any], Any]) -> None:
    """Change a manifest and put the checksum right again."""
    manifest = json.loads(path.read_text())
    manifest.pop("sha256")
    manifest = change(manifest)
    if isinstance(manifest, dict):
        text = json.dumps(manifest, sort_keys=True)
        manifest["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    path.write_text(json.dumps(manifest))


def assert_passed_over(run_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []
    with caplog.at_level(logging.WARNING):
        assert newest_good(run_dir, told.append) == 1
    assert len(told) == 1
    assert str(run_dir / "checkpoints/step-2") in told[0]
    assert "passed over" in caplog.text


@pytest.mark.parametrize("name", ["state.safetensors", "manifest.json"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_one_is_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, damage: Callable[[Path], None]
) -> None:
    commit(tmp_path, saved(1))
    damage(commit(tmp_path, saved(2)) / name)
    assert_passed_over(tmp_path, caplog)


def test_one_without_its_tensors_is_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    commit(tmp_path, saved(1))
    (commit(tmp_path, saved(2)) / "state.safetensors").unlink()
    assert_passed_over(tmp_path, caplog)


@pytest.mark.parametrize(
    "change",
    [
        lambda _: [],
        lambda _: None,
        lambda _: "text",
        lambda manifest: {**manifest, "files": 3},
        lambda manifest: {**manifest, "files": {}},
        lambda manifest: {**manifest, "state": [1]},
        lambda manifest: {**manifest, "step": "2"},
        lambda manifest: {**manifest, "step": 1},
        lambda manifest: {**manifest, "format": 99},
        lambda manifest: {key: manifest[key] for key in ("step", "files")},
    ],
)
def test_a_manifest_of_other_content_is_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, change: Callable[[Any], Any]
) -> None:
    commit(tmp_path, saved(1))
    changed(commit(tmp_path, saved(2)) / "manifest.json", change)
    assert_passed_over(tmp_path, caplog)


def test_a_damaged_one_is_set_aside_and_does_not_count_among_the_newest(tmp_path: Path) -> None:
    commit(tmp_path, saved(1))
    flip_a_bit(commit(tmp_path, saved(9)) / "state.safetensors")
    clear_after(tmp_path, newest_good(tmp_path))
    commit(tmp_path, saved(5))
    retain(tmp_path, 1, None)
    assert names(tmp_path) == {"step-5", "damaged-step-9"}
    assert newest_good(tmp_path) == 5


def test_what_was_not_committed_is_removed_and_told(tmp_path: Path) -> None:
    commit(tmp_path, saved(1))
    (commit(tmp_path, saved(4)) / "manifest.json").unlink()
    (tmp_path / "checkpoints/.final.safetensors.123.tmp").touch()
    (tmp_path / "checkpoints/step-x").mkdir()
    told: list[str] = []
    clear_after(tmp_path, newest_good(tmp_path), told.append)
    assert names(tmp_path) == {"step-1"}
    assert len(told) == 2
    assert all("no manifest" in text for text in told)


def test_a_torn_one_is_written_again(tmp_path: Path) -> None:
    (commit(tmp_path, saved(4)) / "manifest.json").unlink()
    commit(tmp_path, saved(4))
    assert newest_good(tmp_path) == 4


@pytest.mark.parametrize("name", ["read_text", "open"])
def test_storage_that_cannot_be_read_now_is_not_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    commit(tmp_path, saved(4))

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    with monkeypatch.context() as away:
        away.setattr(Path, name, fail)
        with pytest.raises(OSError, match="Stale file handle"):
            newest_good(tmp_path)
    assert newest_good(tmp_path) == 4


def test_one_that_cannot_be_written_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(tmp_path, saved(1))

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("distrain.train.checkpoint.write_atomically", fail)
    with pytest.raises(OSError, match="No space left"):
        commit(tmp_path, saved(4))
    assert names(tmp_path) == {"step-1"}


def test_who_was_taken_over_removes_and_commits_nothing(tmp_path: Path) -> None:
    commit(tmp_path, saved(4))

    def taken_over() -> None:
        raise CheckpointError("the run was taken over")

    with pytest.raises(CheckpointError, match="taken over"):
        commit(tmp_path, saved(4), taken_over)
    assert newest_good(tmp_path) == 4


def test_state_of_another_run_is_refused_with_what_differs(tmp_path: Path) -> None:
    commit(tmp_path, saved(4))
    others = {**DIGESTS, "plan": "x" * 64, "kind of device": "cuda"}
    differing = r"another plan \(a there, x{12} here\), another kind of device \(cpu there, cuda"
    with pytest.raises(CheckpointError, match=f"made with {differing} here\\)"):
        restore(read(tmp_path, 4), others, tmp_path)


def test_nothing_in_it_is_pickled(tmp_path: Path) -> None:
    folder = commit(tmp_path, saved(4))
    assert {path.suffix for path in folder.iterdir()} == {".safetensors", ".json"}
    assert json.loads((folder / "manifest.json").read_text())["step"] == 4
