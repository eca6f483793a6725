"""Training state on disk: committed whole or not at all, checked when read, never unpickled.

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
import logging
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save_file

from distrain.durable import replacing, sync_folder, write_atomically
from distrain.errors import CheckpointError
from distrain.train.tensor_file import write_tensors

FOLDER: Final = "checkpoints"
FORMAT_VERSION: Final = 1
TENSORS: Final = "state.safetensors"
MANIFEST: Final = "manifest.json"
_NAME: Final = re.compile(r"step-(\d+)")
# Any other fault of the storage may be over at the next try, and the checkpoint good.
_LACKING: Final = (FileNotFoundError, IsADirectoryError, NotADirectoryError)
_MALFORMED: Final = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
_FIELDS: Final = {
    "format": int,
    "step": int,
    "digests": dict,
    "state": dict,
    "architecture": dict,
    "files": dict,
}

logger = logging.getLogger(__name__)


@final
@dataclass(frozen=True)
class SavedState:
    """What a checkpoint holds.

    Attributes:
        step: committed optimizer steps: the whole position in the data.
        digests: of the plan, the prepared dataset and the configuration; the kind of device.
        state: plain values.
        tensors: by name; nobody writes to them any more.
        architecture: parameters and buffers of the model by name, with what they are like.
    """

    step: int
    digests: Mapping[str, str]
    state: Mapping[str, Any]
    tensors: Mapping[str, torch.Tensor]
    architecture: Mapping[str, str] = field(default_factory=dict)


@final
@dataclass(frozen=True)
class Content:
    """A checkpoint as it lies on disk, found whole.

    Attributes:
        manifest: the bytes of `manifest.json`, uint8, `(bytes,)`.
        tensors: the bytes of `state.safetensors`.
    """

    manifest: npt.NDArray[np.uint8]
    tensors: npt.NDArray[np.uint8]


NO_CONTENT: Final = Content(np.empty(0, np.uint8), np.empty(0, np.uint8))


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
        OSError: it cannot be written, e.g. because the disk is full; nothing of it is left.
    """
    folder = run_dir / FOLDER / f"step-{saved.step}"
    check_still_ours()
    if not committed_steps(run_dir):
        # Another worker that writes a share may have made the folder, and not its name durable.
        folder.parent.mkdir(parents=True, exist_ok=True)
        sync_folder(run_dir)
    try:
        if folder.exists():
            # It was torn, or it would have been taken up and this step not reached again.
            shutil.rmtree(folder)
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
    steps = committed_steps(run_dir)
    best = [step for step in steps if best_step is not None and step >= best_step][-1:]
    for step in steps[keep:]:
        if step not in best:
            _remove(run_dir / FOLDER / f"step-{step}")


def newest_good(run_dir: Path, tell: Callable[[str], None] = lambda _: None) -> int | None:
    """Return the step of the newest checkpoint that is whole, or None.

    Args:
        run_dir: the run's folder.
        tell: told of each bad one that is passed over; it is also logged.

    Raises:
        OSError: the storage could not read what is there, which is not damage.
    """
    for step in committed_steps(run_dir):
        try:
            _check(run_dir / FOLDER / f"step-{step}")
        except CheckpointError as fault:
            text = f"a checkpoint is passed over: {fault}"
            logger.warning("%s", text)
            tell(text)
        else:
            return step
    return None


def clear_after(
    run_dir: Path, step: int | None, tell: Callable[[str], None] = lambda _: None
) -> None:
    """Leave no checkpoint but whole ones up to a step: before training goes on from there.

    What was never committed is removed; what is newer is damaged, and set aside.

    Args:
        run_dir: the run's folder.
        step: of the newest good one; None: there is none.
        tell: told of each folder without a manifest that is removed; it is also logged.
    """
    folder = run_dir / FOLDER
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)  # a worker of an attempt that was given up may do so too
    for path in folder.glob("step-*"):
        if not (path / MANIFEST).exists():
            text = f"{path}: the checkpoint has no manifest, so it was not finished; it is removed"
            logger.warning("%s", text)
            tell(text)
            shutil.rmtree(path)
    for newer in committed_steps(run_dir):
        if step is None or newer > step:
            aside = folder / f"damaged-step-{newer}"
            shutil.rmtree(aside, ignore_errors=True)
            (folder / f"step-{newer}").replace(aside)


def read(run_dir: Path, step: int, *, has_shares: bool = False) -> Content:
    """Return a checkpoint's bytes.

    Args:
        run_dir: the run's folder.
        step: which one.
        has_shares: whether its tensors are left to those who know which of them are theirs.

    Raises:
        CheckpointError: it is damaged.
    """
    folder = run_dir / FOLDER / f"step-{step}"
    _check(folder)
    manifest = np.fromfile(folder / MANIFEST, np.uint8)
    return Content(
        manifest, NO_CONTENT.tensors if has_shares else np.fromfile(folder / TENSORS, np.uint8)
    )


def restore(
    content: Content,
    digests: Mapping[str, str],
    run_dir: Path,
    read_shares: Callable[[Path, int], Mapping[str, torch.Tensor]] | None = None,
) -> SavedState:
    """Return what a checkpoint holds.

    Args:
        content: its bytes, found whole.
        digests: what this run's are.
        run_dir: the run's folder.
        read_shares: from the checkpoint's folder and how many workers have written it to this
            worker's tensors; None: they are in `content`.

    Raises:
        CheckpointError: it was made with another plan, dataset, configuration or kind of device.
    """
    manifest = json.loads(content.manifest.tobytes())
    folder, theirs = run_dir / FOLDER / f"step-{manifest['step']}", manifest["digests"]
    differing = [name for name, own in digests.items() if theirs.get(name) != own]
    if differing:
        raise CheckpointError(
            "the checkpoint was made with another "
            + ", another ".join(
                f"{name} ({_shown(theirs.get(name))} there, {_shown(digests[name])} here)"
                for name in differing
            ),
            where=str(folder),
            expected="the state of the same run",
            mend="Start a new run, or go back to what this one was started with",
        )
    try:
        if read_shares is not None:
            tensors = read_shares(folder, len(manifest["files"]))
        else:
            tensors = tensors_from_bytes(content.tensors.tobytes())
    except SafetensorError as fault:
        raise _damaged(folder / TENSORS, f"the tensors cannot be read ({fault})") from fault
    return SavedState(
        manifest["step"], theirs, manifest["state"], tensors, manifest["architecture"]
    )


def save_weights(path: Path, state: Mapping[str, torch.Tensor]) -> None:
    """Write a state dict, whole or not at all, and make it durable.

    Args:
        path: the file.
        state: tensors on the CPU that share no memory.
    """
    with replacing(path) as temporary:
        save_file(dict(state), temporary)


def committed_steps(run_dir: Path) -> list[int]:
    """Return the steps of the checkpoints that have a manifest, whole or not, the newest first."""
    names = (path.parent.name for path in (run_dir / FOLDER).glob(f"step-*/{MANIFEST}"))
    return sorted((int(name[1]) for name in map(_NAME.fullmatch, names) if name), reverse=True)


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
    manifest["sha256"] = _sha256_of(manifest)
    text = json.dumps(manifest, indent=1, sort_keys=True) + "\n"
    check_still_ours()
    write_atomically(folder / MANIFEST, text.encode())


def _remove(folder: Path) -> None:
    # Without its manifest it is no longer there, however far the rest comes.
    (folder / MANIFEST).unlink()
    shutil.rmtree(folder)


def _checked_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a checkpoint after comparing it with its checksum."""
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        stated = manifest.pop("sha256")
    except (*_LACKING, *_MALFORMED) as fault:
        raise _damaged(path, f"the manifest cannot be read ({fault!r})") from fault
    if stated != _sha256_of(manifest):
        raise _damaged(path, "the manifest is not what was written")
    if not all(isinstance(manifest.get(name), kind) for name, kind in _FIELDS.items()):
        raise _damaged(path, "the manifest has other fields")
    if manifest["format"] != FORMAT_VERSION or folder.name != f"step-{manifest['step']}":
        raise _damaged(path, f"it is of step {manifest['step']}, format {manifest['format']}")
    found: dict[str, Any] = manifest
    return found


def _check(folder: Path) -> None:
    files = _checked_manifest(folder)["files"]
    for name in {TENSORS: None, **files}:
        path = folder / name
        try:
            with path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
                found = {"sha256": sha256, "num_bytes": file.tell()}
        except _LACKING as fault:
            raise _damaged(path, f"the file cannot be read ({fault})") from fault
        if found != files.get(name):
            raise _damaged(path, "the file is not what was written")


def _shown(digest: str | None) -> str:
    return (digest or "none")[:12]


def _damaged(path: Path, message: str) -> CheckpointError:
    return CheckpointError(
        message,
        where=str(path),
        expected="a checkpoint as it was committed",
        mend="The newest good one before it is taken up, or training begins anew",
    )


def _sha256_of(manifest: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
