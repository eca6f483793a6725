"""Checkpoints that several workers write: read by any number of them, whole or passed over."""

import json
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch

from distrain.errors import CheckpointError
from distrain.train import checkpoint, shares
from distrain.train.checkpoint import SavedState
from distrain.train.shares import only_shares, own_rows, read_shares, taken_in, write_share
from distrain.train.taking_up import Found, clear_after, newest_good
from distrain.train.world import World
from tests.failing_storage import remembering_what_was_not_there

STEP = 7
WHOLE = {
    "model.share.weight": torch.arange(35.0).view(7, 5),
    "model.share.bias": torch.arange(2.0),
    "optimizer.share.weight.exp_avg": torch.arange(35.0, 70.0).view(7, 5),
    "optimizer.share.weight.step": torch.tensor(7.0),
    "model.buffer.mean": torch.arange(3.0),
}


def held_by(world: World) -> dict[str, torch.Tensor]:
    """Return what a worker holds of the tensors."""
    held = dict(WHOLE)
    for name, whole in only_shares(WHOLE).items():
        rows = own_rows(len(whole), world)
        held[name] = whole[rows.start : rows.stop].contiguous()
    return held


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def write_others(run_dir: Path, world_size: int) -> None:
    for rank in range(1, world_size):
        world = World(world_size, rank)
        write_share(run_dir, STEP, rank, only_shares(held_by(world)))


def commit(run_dir: Path, world_size: int, timeout_s: float = 10.0) -> Path:
    world = World(world_size, collective_timeout_s=timeout_s)
    saved = SavedState(STEP, {}, {}, held_by(world))
    others = partial(taken_in, step=STEP, world=world, is_leaving=threading.Event())
    return checkpoint.commit(run_dir, saved, others=others)


@pytest.mark.parametrize("num_rows", [1, 2, 7, 12])
@pytest.mark.parametrize("world_size", [1, 2, 3, 5])
def test_a_worker_s_rows_are_those_of_torch_s_chunks(num_rows: int, world_size: int) -> None:
    chunks = [chunk.tolist() for chunk in torch.arange(num_rows).chunk(world_size)]
    chunks += [[]] * (world_size - len(chunks))
    assert [list(own_rows(num_rows, World(world_size, rank))) for rank in range(world_size)] == (
        chunks
    )


@pytest.mark.parametrize("num_writers", [1, 3, 4])
@pytest.mark.parametrize("num_readers", [1, 2, 3, 5])
def test_what_any_number_of_workers_wrote_any_other_reads(
    tmp_path: Path, num_writers: int, num_readers: int
) -> None:
    write_others(tmp_path, num_writers)
    folder = commit(tmp_path, num_writers)
    assert newest_good(tmp_path) == STEP
    for rank in range(num_readers):
        world = World(num_readers, rank)
        found = read_shares(folder, num_writers, world)
        wanted = held_by(world)
        assert set(found) == set(wanted)
        assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_nothing_is_left_beside_a_checkpoint(tmp_path: Path) -> None:
    write_others(tmp_path, 3)
    folder = commit(tmp_path, 3)
    assert [path.name for path in folder.parent.iterdir()] == [f"step-{STEP}"]


@pytest.mark.parametrize("damage", [flip_a_bit, Path.unlink])
def test_a_damaged_share_damages_the_checkpoint(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    write_others(tmp_path, 3)
    damage(commit(tmp_path, 3) / "state-rank-2.safetensors")
    assert newest_good(tmp_path) is None


def test_a_worker_that_cannot_write_fails_the_checkpoint_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    write_others(tmp_path, 2)
    with monkeypatch.context() as patch:
        patch.setattr(shares, "write_tensors", full)
        with pytest.raises(OSError, match="No space"):
            write_share(tmp_path, STEP, 2, {})
    with pytest.raises(OSError, match=r"another worker could not write its part: .*No space"):
        commit(tmp_path, 3)
    assert newest_good(tmp_path) is None
    write_share(tmp_path, STEP, 2, only_shares(held_by(World(3, 2))))
    commit(tmp_path, 3)
    assert newest_good(tmp_path) == STEP


def test_a_worker_that_does_not_come_is_not_waited_for_forever(tmp_path: Path) -> None:
    write_others(tmp_path, 2)
    with pytest.raises(TimeoutError, match=r"step-7-rank-2"):
        commit(tmp_path, 3, timeout_s=0.05)


def test_a_manifest_that_cannot_be_written_leaves_the_shares_for_another_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    write_others(tmp_path, 3)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write_atomically", full)
        with pytest.raises(OSError, match="No space"):
            commit(tmp_path, 3)
    folder = commit(tmp_path, 3)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert len(manifest["files"]) == 3
    assert newest_good(tmp_path) == STEP


def test_an_attempt_begins_without_shares_that_were_not_committed(tmp_path: Path) -> None:
    write_others(tmp_path, 3)
    clear_after(tmp_path, Found())
    assert not list((tmp_path / checkpoint.FOLDER).iterdir())


def test_a_folder_that_cannot_be_synced_leaves_the_shares_for_another_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []

    def fails_once(path: Path) -> None:
        synced.append(path)
        if len(synced) == 2:  # the first is the run's folder
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "sync_folder", fails_once)
    write_others(tmp_path, 3)
    with pytest.raises(OSError, match="No space"):
        commit(tmp_path, 3)
    assert newest_good(tmp_path) is None
    folder = commit(tmp_path, 3)
    assert newest_good(tmp_path) == STEP
    assert [path.name for path in folder.parent.iterdir()] == [f"step-{STEP}"]


def test_a_share_that_cannot_be_moved_leaves_the_others_for_another_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    move = Path.replace

    def fails_for_the_second(path: Path, target: Path) -> Path:
        if target.name == "state-rank-2.safetensors":
            raise OSError(5, "Input/output error")
        return move(path, target)

    write_others(tmp_path, 4)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fails_for_the_second)
        with pytest.raises(OSError, match="Input/output error"):
            commit(tmp_path, 4)
    commit(tmp_path, 4)
    assert newest_good(tmp_path) == STEP


def test_a_worker_that_was_given_up_leaves_a_newer_attempt_s_share_alone(tmp_path: Path) -> None:
    def given_up() -> None:
        raise CheckpointError("another attempt drives the run")

    write_others(tmp_path, 2)
    with pytest.raises(CheckpointError, match="another attempt"):
        write_share(tmp_path, STEP, 1, {}, given_up)
    commit(tmp_path, 2)
    assert newest_good(tmp_path) == STEP


def test_the_shares_of_two_attempts_are_two_files(tmp_path: Path) -> None:
    """A worker may be given up after it has looked, and before it writes."""
    write_others(tmp_path, 2)
    write_share(tmp_path, STEP, 1, {}, attempt="an earlier one")
    folder = commit(tmp_path, 2)
    found = read_shares(folder, 2, World(1))
    assert all(torch.equal(found[name], whole) for name, whole in WHOLE.items())


def test_a_note_from_another_host_is_found_though_there_was_none_before(tmp_path: Path) -> None:
    write_others(tmp_path, 2)
    (note,) = (tmp_path / checkpoint.FOLDER).glob("*.note.tmp")
    elsewhere = note.rename(tmp_path / "note")
    folder = note.with_name(f"step-{STEP}")
    folder.mkdir()
    timer = threading.Timer(0.05, elsewhere.rename, [note])
    world = World(2, collective_timeout_s=5.0)
    with remembering_what_was_not_there():
        timer.start()
        with taken_in(folder, STEP, world, threading.Event()) as notes:
            assert list(notes) == ["state-rank-1.safetensors"]
    timer.join()
