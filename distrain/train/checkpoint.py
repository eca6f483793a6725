"""Training state on disk: committed whole or not at all, checked when read, never unpickled.

This is how it is written; `taking_up.py` reads it.

    <run>/checkpoints/step-<k>/state.safetensors     the tensors
    <run>/checkpoints/step-<k>/manifest.json         everything else, with checksums; written last

Where parameters are sharded, other workers' shares lie beside them: see `shares.py`.

A checkpoint is there once its manifest is. One that is torn or altered is passed over for the
newest good one and set aside as `damaged-step-<k>`: left where it was, it would count among the
newest, for which retention removes the good ones. What a checkpoint must cover (the journal, the
ledger) is durable before its manifest is.

The best one, which retention keeps beside the newest, is the first at or after the step where the
watched metric was best. Where the best model is restored at the end, its weights are also in every
checkpoint after that step (`best.*`).
"""

import contextlib
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, final

import torch

from distrain.durable import replacing, sync_folder, write_atomically
from distrain.foreign import remove_tree
from distrain.listing import is_there, paths_in
from distrain.object_store.checkpoints import keep_checkpoints, kept_steps, put_checkpoint
from distrain.object_store.link import link_of
from distrain.train.tensor_file import write_tensors

FOLDER: Final = "checkpoints"
FORMAT_VERSION: Final = 1
TENSORS: Final = "state.safetensors"
MANIFEST: Final = "manifest.json"
STILL: Final = "content of the model's frozen parameters and still buffers"
"""A digest of a checkpoint; those that were written before there was one hold without it."""
_NAME: Final = re.compile(r"step-(\d+)")


@final
@dataclass(frozen=True)
class SavedState:
    """What a checkpoint holds.

    Attributes:
        step: committed optimizer steps: the whole position in the data.
        digests: of the plan, the prepared dataset, the configuration, and what training leaves
            alone of the model; the kind of device.
        state: plain values.
        tensors: by name; nobody writes to them any more.
        architecture: parameters and buffers of the model by name, with what they are like.
    """

    step: int
    digests: Mapping[str, str]
    state: Mapping[str, Any]
    tensors: Mapping[str, torch.Tensor]
    architecture: Mapping[str, str] = field(default_factory=dict)


Others = Callable[[Path], contextlib.AbstractContextManager[Mapping[str, Any]]]
"""Puts other workers' files into a checkpoint's folder and gives what the manifest says of them."""


def no_others(_folder: Path) -> contextlib.AbstractContextManager[Mapping[str, Any]]:
    """Give no files: rank zero writes all of the checkpoint."""
    return contextlib.nullcontext({})


def commit(
    run_dir: Path,
    saved: SavedState,
    check_still_ours: Callable[[], None] = lambda: None,
    others: Others = no_others,
) -> Path:
    """Write a checkpoint, make it durable, and return its folder.

    The caller has made durable what the checkpoint covers.

    Args:
        run_dir: the run's folder.
        saved: what to save.
        check_still_ours: asked before anything is removed and before the manifest is renamed;
            raises where another driver has taken over the run.
        others: gives the files of other workers, once this one's are written.

    Raises:
        OSError: it cannot be written, e.g. because the disk is full; nothing of it is left here.
    """
    folder = run_dir / FOLDER / f"step-{saved.step}"
    check_still_ours()
    if not committed_steps(run_dir):
        # Another worker that writes a share may have made the folder, and not its name durable.
        folder.parent.mkdir(parents=True, exist_ok=True)
        sync_folder(run_dir)
    try:
        if is_there(folder):
            # It was torn, or it would have been taken up and this step not reached again.
            remove_tree(folder)
        folder.mkdir()
        own = {TENSORS: write_tensors(folder / TENSORS, saved.tensors)}
        with others(folder) as files:
            _write_manifest(folder, saved, {**own, **files}, check_still_ours)
            sync_folder(folder.parent)
    except OSError:
        check_still_ours()
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


def retain(run_dir: Path, keep: int, best_step: int | None) -> None:
    """Remove all checkpoints but the newest and the best one.

    Args:
        run_dir: the run's folder.
        keep: how many of the newest to keep, at least 1.
        best_step: step at which the watched metric was best; None: it has not been measured.
    """
    link = link_of(run_dir)
    if link is not None:  # first: nothing is removed here while the store cannot be asked
        keep_checkpoints(link, _kept(kept_steps(link), keep, best_step))
    steps = committed_steps(run_dir)
    for step in set(steps) - set(_kept(steps, keep, best_step)):
        _remove(run_dir / FOLDER / f"step-{step}")


def _kept(steps: Sequence[int], keep: int, best_step: int | None) -> list[int]:
    """Return which checkpoints stay, of those of some steps, the newest first."""
    best = [step for step in steps if best_step is not None and step >= best_step][-1:]
    return [*steps[:keep], *best]


def save_weights(path: Path, state: Mapping[str, torch.Tensor]) -> None:
    """Write a state dict, whole or not at all, and make it durable.

    Args:
        path: the file.
        state: tensors on the CPU that share no memory.
    """
    with replacing(path) as temporary:
        write_tensors(temporary, state)


def committed_steps(run_dir: Path) -> list[int]:
    """Return the steps of the checkpoints that have a manifest, whole or not, the newest first.

    Raises:
        OSError: the storage cannot tell now.
    """
    named = ((_NAME.fullmatch(path.name), path) for path in paths_in(run_dir / FOLDER))
    steps = (int(name[1]) for name, path in named if name and is_there(path / MANIFEST))
    return sorted(steps, reverse=True)


def _write_manifest(
    folder: Path,
    saved: SavedState,
    files: Mapping[str, Any],
    check_still_ours: Callable[[], None],
) -> None:
    manifest = {
        "format": FORMAT_VERSION,
        "step": saved.step,
        "digests": dict(saved.digests),
        "state": dict(saved.state),
        "architecture": dict(saved.architecture),
        "files": dict(files),
    }
    manifest["sha256"] = sha256_of(manifest)
    content = (json.dumps(manifest, indent=1, sort_keys=True) + "\n").encode()
    link = link_of(folder.parent.parent)
    if link is not None:
        put_checkpoint(link, folder, content, check_still_ours)
    check_still_ours()
    write_atomically(folder / MANIFEST, content)


def _remove(folder: Path) -> None:
    # Without its manifest it is no longer there, however far the rest comes.
    if not folder.is_symlink():
        (folder / MANIFEST).unlink()
    remove_tree(folder)


def sha256_of(manifest: Mapping[str, Any]) -> str:
    """Return the checksum of a manifest's other fields."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
