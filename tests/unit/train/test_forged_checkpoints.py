"""Checkpoints that somebody has forged: passed over or refused, and nothing outside is touched."""

import hashlib
import io
import json
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from distrain.errors import CheckpointError
from distrain.train.checkpoint import SavedState, commit, retain, sha256_of
from distrain.train.taking_up import clear_after, find, restore

TENSORS = "state.safetensors"
Manifest = dict[str, Any]


class Payload:
    """What leaves a trace where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("unpickled",)


def saved(step: int) -> SavedState:
    return SavedState(step, {"plan": "a"}, {"loss": 1.0}, {"model.w": torch.ones(3)})


def forge(run_dir: Path, change: Callable[[Manifest, Path], object], step: int = 2) -> None:
    """Change a checkpoint and put all of its checksums right again."""
    folder = commit(run_dir, saved(step))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest.pop("sha256")
    change(manifest, folder)
    manifest["sha256"] = sha256_of(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def entry(path: Path) -> Manifest:
    content = path.read_bytes()
    return {"sha256": hashlib.sha256(content).hexdigest(), "num_bytes": len(content)}


def naming(name: str) -> Callable[[Manifest, Path], object]:
    """Name another file, by its right checksum."""

    def change(manifest: Manifest, folder: Path) -> None:
        outside = folder.parents[2] / "outside"
        outside.write_text("secret")
        manifest["files"][name.format(outside=outside)] = entry(outside)

    return change


def claiming(claim: object) -> Callable[[Manifest, Path], object]:
    return lambda manifest, _: manifest["files"][TENSORS].update(num_bytes=claim)


def become_pipe(manifest: Manifest, folder: Path) -> None:
    (folder / TENSORS).unlink()
    os.mkfifo(folder / TENSORS)


def become_device(manifest: Manifest, folder: Path) -> None:
    (folder / TENSORS).unlink()
    (folder / TENSORS).symlink_to("/dev/zero")


PASSED_OVER = {
    "a file above": naming("../../../outside"),
    "a file by its whole path": naming("{outside}"),
    "a device": naming("/dev/zero"),
    "a name within": naming("other.safetensors"),
    "a pipe": become_pipe,
    "a link to a device": become_device,
    "2^60 bytes": claiming(1 << 60),
    "10 GiB": claiming(10 << 30),
    "fewer than none": claiming(-1),
    "text": claiming("many"),
    "a list for an entry": lambda manifest, _: manifest["files"].update({TENSORS: [1]}),
}


@pytest.mark.parametrize("change", PASSED_OVER.values(), ids=PASSED_OVER)
@pytest.mark.parametrize("keeps_tensors", [True, False])
def test_one_that_claims_what_it_has_not_is_passed_over(
    tmp_path: Path, change: Callable[[Manifest, Path], object], keeps_tensors: bool
) -> None:
    run_dir = tmp_path / "run"
    commit(run_dir, saved(1))
    forge(run_dir, change)
    found = find(run_dir, keeps_tensors=keeps_tensors)
    assert (found.step, found.damaged) == (1, (2,))


MANIFESTS = {
    "nested without end": '{"sha256": "x", "state": ' + "[" * 100_000,
    "an endless number": '{"sha256": "x", "step": ' + "9" * 100_000 + "}",
    "no mapping": "[1]",
}


@pytest.mark.parametrize("text", MANIFESTS.values(), ids=MANIFESTS)
def test_one_with_an_absurd_manifest_is_passed_over(tmp_path: Path, text: str) -> None:
    commit(tmp_path, saved(1))
    (commit(tmp_path, saved(2)) / "manifest.json").write_text(text)
    assert find(tmp_path).step == 1


def test_a_manifest_of_gigabytes_is_not_read(tmp_path: Path) -> None:
    commit(tmp_path, saved(1))
    with (commit(tmp_path, saved(2)) / "manifest.json").open("r+b") as file:
        file.truncate(10 << 30)
    assert find(tmp_path).step == 1


def torch_zip() -> bytes:
    content = io.BytesIO()
    torch.save({"model.w": torch.ones(3), "payload": Payload()}, content)
    return content.getvalue()


def with_header(**fields: Any) -> bytes:
    header = json.dumps({"model.w": {"dtype": "F32", "data_offsets": [0, 0], **fields}}).encode()
    return struct.pack("<Q", len(header)) + header


CONTENTS = {
    "a pickle": pickle.dumps(Payload()),
    "torch's zip": torch_zip(),
    "a header of 2^60 bytes": struct.pack("<Q", 1 << 60) + b"{}",
    "a shape without end": with_header(shape=[1 << 33, 1 << 33]),
    "a shape of more than there is": with_header(shape=[1 << 20], data_offsets=[0, 4 << 20]),
}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_tensors_that_are_none_are_refused_and_nothing_is_unpickled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    def change(manifest: Manifest, folder: Path) -> None:
        (folder / TENSORS).write_bytes(content)
        manifest["files"][TENSORS] = entry(folder / TENSORS)

    monkeypatch.chdir(tmp_path)
    forge(tmp_path, change)
    with pytest.raises(CheckpointError, match="tensors cannot be read"):
        restore(find(tmp_path, keeps_tensors=True).content, {}, tmp_path)
    assert not Path("unpickled").exists()


def test_a_link_in_place_of_a_checkpoint_is_removed_and_not_what_it_leads_to(
    tmp_path: Path,
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "manifest.json").write_text("not ours")
    run_dir = tmp_path / "run"
    for step in (8, 9):
        commit(run_dir, saved(step))
    (run_dir / "checkpoints" / "step-7").symlink_to(elsewhere)
    (run_dir / "checkpoints" / "step-6").symlink_to(tmp_path / "nowhere")

    retain(run_dir, 1, None)
    clear_after(run_dir, find(run_dir))

    assert [path.name for path in (run_dir / "checkpoints").iterdir()] == ["step-9"]
    assert (elsewhere / "manifest.json").read_text() == "not ours"
