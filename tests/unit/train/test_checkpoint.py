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
from safetensors.torch import load_file

from distrain.errors import CheckpointError
from distrain.models.weights import same_bits
from distrain.train.checkpoint import (
    SavedState,
    commit,
    retain,
    save_weights,
)
from distrain.train.faults import cause_of
from distrain.train.taking_up import Found, clear_after, find, newest_good, restore
from tests.failing_storage import refusing_to_list, room_for

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
    found = restore(find(tmp_path, keeps_tensors=True).content, DIGESTS, tmp_path)
    assert found.step == 7
    assert found.state["loss"] == 7.1
    for name, value in saved(7).tensors.items():
        assert torch.equal(found.tensors[name], value)
        assert found.tensors[name].dtype == value.dtype


def test_there_may_be_none(tmp_path: Path) -> None:
    assert newest_good(tmp_path) is None
    clear_after(tmp_path, Found())
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


def grow(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


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
    clear_after(tmp_path, find(tmp_path))
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
    clear_after(tmp_path, find(tmp_path), told.append)
    assert names(tmp_path) == {"step-1"}
    assert len(told) == 2
    assert all("no manifest" in text for text in told)


def test_what_is_set_aside_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    commit(tmp_path, saved(1))
    flip_a_bit(commit(tmp_path, saved(9)) / "state.safetensors")
    told: list[str] = []
    clear_after(tmp_path, find(tmp_path, told.append), told.append)
    assert [text.partition(":")[0] for text in told] == ["a checkpoint is passed over"]
    assert "step-9: it is damaged, and set aside as" in caplog.text


@pytest.mark.parametrize("found", [Found(), Found(3, (9,))])
def test_one_that_nobody_found_damaged_is_not_set_aside(tmp_path: Path, found: Found) -> None:
    for step in (3, 5, 9):
        commit(tmp_path, saved(step))
    with pytest.raises(OSError, match=r"step-\d is there now, and was not when"):
        clear_after(tmp_path, found)
    assert names(tmp_path) == {"step-3", "step-5", "step-9"}


def test_a_folder_that_cannot_be_listed_now_does_not_look_empty(tmp_path: Path) -> None:
    commit(tmp_path, saved(4))
    with refusing_to_list(tmp_path / "checkpoints"), pytest.raises(PermissionError):
        newest_good(tmp_path)
    assert newest_good(tmp_path) == 4


def test_each_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(tmp_path, saved(4))
    opened: list[str] = []
    own = Path.open

    def counted(path: Path, *args: Any, **options: Any) -> Any:
        opened.append(path.name)
        return own(path, *args, **options)

    monkeypatch.setattr(Path, "open", counted)
    content = find(tmp_path, keeps_tensors=True).content
    assert sorted(opened) == ["manifest.json", "state.safetensors"]
    assert torch.equal(
        restore(content, DIGESTS, tmp_path).tensors["model.w"], torch.full((3,), 4.0)
    )


@pytest.mark.parametrize("change", [cut, flip_a_bit, empty, grow])
def test_tensors_that_are_kept_are_checked_too(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    change(commit(tmp_path, saved(4)) / "state.safetensors")
    assert find(tmp_path, keeps_tensors=True) == Found(None, (4,))


def test_weights_that_find_no_room_are_a_fault_of_the_storage(tmp_path: Path) -> None:
    with room_for(1 << 10), pytest.raises(OSError, match="large") as fault:
        save_weights(tmp_path / "final.safetensors", {"w": torch.zeros(1 << 12)})
    assert cause_of(fault.value) == "cluster"
    assert list(tmp_path.iterdir()) == []


def test_weights_come_back_with_the_same_bits(tmp_path: Path) -> None:
    weights = {"a.w": torch.randn(3, 5), "a.half": torch.ones(3).bfloat16(), "n": torch.tensor(7)}
    weights["rotary"] = torch.polar(torch.ones(2, 3), torch.randn(2, 3))
    weights |= {f"as {kind}": torch.arange(4).to(kind) for kind in (torch.uint16, torch.uint64)}
    weights["as fp8"] = torch.arange(4).float().to(torch.float8_e4m3fn)
    save_weights(tmp_path / "final.safetensors", weights)
    found = load_file(tmp_path / "final.safetensors")
    assert found.keys() == weights.keys()
    assert all(same_bits(found[name], weights[name]) for name in weights)


def test_a_torn_one_is_written_again(tmp_path: Path) -> None:
    (commit(tmp_path, saved(4)) / "manifest.json").unlink()
    commit(tmp_path, saved(4))
    assert newest_good(tmp_path) == 4


@pytest.mark.parametrize("name", ["read_bytes", "open"])
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
        restore(find(tmp_path).content, others, tmp_path)


def test_nothing_in_it_is_pickled(tmp_path: Path) -> None:
    folder = commit(tmp_path, saved(4))
    assert {path.suffix for path in folder.iterdir()} == {".safetensors", ".json"}
    assert json.loads((folder / "manifest.json").read_text())["step"] == 4
