"""Training state on disk: committed whole or not at all, checked when read, never unpickled.

    <run>/checkpoints/step-<k>/state.safetensors     the tensors
    <run>/checkpoints/step-<k>/manifest.json         everything else, with checksums; written last

A checkpoint is there once its manifest is. One that is torn or altered is passed over for the
newest good one. What it must cover (the journal, the ledger) is durable before the manifest is.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from distrain.durable import replacing, sync_file, sync_folder, write_atomically
from distrain.errors import CheckpointError

FOLDER: Final = "checkpoints"
FORMAT_VERSION: Final = 1
TENSORS: Final = "state.safetensors"
MANIFEST: Final = "manifest.json"

logger = logging.getLogger(__name__)


@final
@dataclass(frozen=True)
class SavedState:
    """What a checkpoint holds.

    Attributes:
        step: committed optimizer steps: the whole position in the data.
        digests: of the plan, the prepared dataset and the configuration.
        state: plain values.
        tensors: by name.
    """

    step: int
    digests: Mapping[str, str]
    state: Mapping[str, Any]
    tensors: Mapping[str, torch.Tensor]


def commit(run_dir: Path, saved: SavedState, keep: int) -> Path:
    """Write a checkpoint, make it durable, then remove older ones; return its folder.

    The caller has made durable what the checkpoint covers.

    Args:
        run_dir: the run's folder.
        saved: what to save.
        keep: how many of the newest to keep, at least 1.
    """
    folder = run_dir / FOLDER / f"step-{saved.step}"
    if folder.exists():
        # It was torn, or it would have been taken up and this step not reached again.
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    tensors = {name: value.detach().cpu().contiguous() for name, value in saved.tensors.items()}
    save_file(tensors, folder / TENSORS)
    sync_file(folder / TENSORS)
    manifest = {
        "format": FORMAT_VERSION,
        "step": saved.step,
        "digests": dict(saved.digests),
        "state": dict(saved.state),
        "files": {TENSORS: _fingerprint(folder / TENSORS)},
    }
    manifest["sha256"] = _sha256_of(manifest)
    text = json.dumps(manifest, indent=1, sort_keys=True) + "\n"
    write_atomically(folder / MANIFEST, text.encode())
    sync_folder(folder.parent)
    for step in _committed_steps(run_dir)[keep:]:
        shutil.rmtree(run_dir / FOLDER / f"step-{step}")
    return folder


def newest_good(run_dir: Path) -> int | None:
    """Return the step of the newest checkpoint that is whole, or None.

    Bad ones are named in a warning and passed over.
    """
    for step in _committed_steps(run_dir):
        try:
            _checked_manifest(run_dir / FOLDER / f"step-{step}")
        except CheckpointError as fault:
            logger.warning("a checkpoint is passed over: %s", fault)
        else:
            return step
    return None


def load(run_dir: Path, step: int, digests: Mapping[str, str]) -> SavedState:
    """Return the checkpoint of a step.

    Args:
        run_dir: the run's folder.
        step: which one.
        digests: what this run's are.

    Raises:
        CheckpointError: it is damaged, or it was made with another plan, dataset or configuration.
    """
    folder = run_dir / FOLDER / f"step-{step}"
    manifest = _checked_manifest(folder)
    differing = [name for name in digests if manifest["digests"].get(name) != digests[name]]
    if differing:
        raise CheckpointError(
            f"the checkpoint was made with another {', another '.join(differing)}",
            where=str(folder),
            expected="the state of the same run",
            mend="Start a new run, or go back to what this one was started with",
        )
    try:
        tensors = load_file(folder / TENSORS)
    except (OSError, SafetensorError) as fault:
        raise _damaged(folder / TENSORS, f"the tensors cannot be read ({fault})") from fault
    return SavedState(manifest["step"], manifest["digests"], manifest["state"], tensors)


def save_weights(path: Path, state: Mapping[str, torch.Tensor]) -> None:
    """Write a state dict, whole or not at all, and make it durable.

    Args:
        path: the file.
        state: tensors on the CPU that share no memory.
    """
    with replacing(path) as temporary:
        save_file(dict(state), temporary)


def _committed_steps(run_dir: Path) -> list[int]:
    """Return the steps of the checkpoints that have a manifest, the newest first."""
    manifests = (run_dir / FOLDER).glob(f"step-*/{MANIFEST}")
    return sorted((int(path.parent.name.removeprefix("step-")) for path in manifests), reverse=True)


def _checked_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        stated = manifest.pop("sha256")
        files = manifest["files"]
    except (OSError, ValueError, KeyError, AttributeError) as fault:
        raise _damaged(path, f"the manifest cannot be read ({fault!r})") from fault
    if stated != _sha256_of(manifest) or manifest["format"] != FORMAT_VERSION:
        raise _damaged(path, "the manifest is not what was written")
    for name, fingerprint in files.items():
        if not (folder / name).is_file() or _fingerprint(folder / name) != fingerprint:
            raise _damaged(folder / name, "the file is not what was written")
    found: dict[str, Any] = manifest
    return found


def _damaged(path: Path, message: str) -> CheckpointError:
    return CheckpointError(
        message,
        where=str(path),
        expected="a checkpoint as it was committed",
        mend="Remove its folder; the one before it will be taken",
    )


def _sha256_of(manifest: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _fingerprint(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return {"sha256": sha256, "num_bytes": path.stat().st_size}
