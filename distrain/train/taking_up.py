"""What a run goes on from: the newest checkpoint that is whole, read once, and nothing after it.

    find: read the newest; compare it with its checksums; the one before it where it is damaged
    clear_after: set aside what was found damaged, remove what was never committed
    restore: refuse the state of another run; bytes become tensors

The storage may fail while somebody looks, and be well a moment later. So only what was read and is
not what was written counts as damaged; whatever else goes wrong is raised, and nothing is changed.
"""

import contextlib
import hashlib
import json
import logging
import os
import re
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, final

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load as tensors_from_bytes

from distrain.errors import CheckpointError
from distrain.foreign import from_json, is_count, read_file, remove_tree
from distrain.listing import is_there, paths_in
from distrain.object_store.checkpoints import fetch_checkpoint, kept_steps, set_aside
from distrain.object_store.link import Link, link_of, shown
from distrain.train.checkpoint import (
    FOLDER,
    FORMAT_VERSION,
    MANIFEST,
    STILL,
    TENSORS,
    SavedState,
    committed_steps,
    sha256_of,
)
from distrain.train.tensor_file import CHUNK_BYTES

# Any other fault of the storage may be over at the next try, and the checkpoint good.
_LACKING: Final = (FileNotFoundError, IsADirectoryError, NotADirectoryError)
_MALFORMED: Final = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
_LATER: Final = (STILL,)
_FILE: Final = re.compile(r"state(-rank-[1-9][0-9]*)?\.safetensors")
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
class Content:
    """A checkpoint as it lies on disk, found whole.

    Attributes:
        manifest: the bytes of `manifest.json`, uint8, `(bytes,)`.
        tensors: the bytes of `state.safetensors`.
    """

    manifest: npt.NDArray[np.uint8]
    tensors: npt.NDArray[np.uint8]


NO_CONTENT: Final = Content(np.empty(0, np.uint8), np.empty(0, np.uint8))


@final
@dataclass(frozen=True)
class Found:
    """What is there to go on from.

    Attributes:
        step: of the newest checkpoint that is whole; None: there is none.
        damaged: steps of the newer ones, which are not.
        content: the bytes of the whole one, as far as they were asked for.
    """

    step: int | None = None
    damaged: tuple[int, ...] = ()
    content: Content = NO_CONTENT


def newest_good(run_dir: Path, tell: Callable[[str], None] = lambda _: None) -> int | None:
    """Return the step of the newest checkpoint that is whole, or None; arguments as in `find`."""
    return find(run_dir, tell).step


def find(
    run_dir: Path,
    tell: Callable[[str], None] = lambda _: None,
    *,
    keeps_tensors: bool = False,
) -> Found:
    """Return the newest checkpoint that is whole; each file is read once.

    Args:
        run_dir: the run's folder.
        tell: told of each bad one that is passed over; it is also logged.
        keeps_tensors: whether the bytes of `state.safetensors` are wanted.

    Raises:
        OSError: the storage could not read what is there, which is not damage.
    """
    damaged: list[int] = []
    link = link_of(run_dir)
    stored = [] if link is None else kept_steps(link)
    for step in sorted({*committed_steps(run_dir), *stored}, reverse=True):
        try:
            content = _content(run_dir / FOLDER / f"step-{step}", step, link, keeps_tensors)
        except CheckpointError as fault:
            _tell(f"a checkpoint is passed over: {fault}", tell)
            damaged.append(step)
        else:
            if content is not None:
                return Found(step, tuple(damaged), content)
    return Found(None, tuple(damaged))


def clear_after(run_dir: Path, found: Found, tell: Callable[[str], None] = lambda _: None) -> None:
    """Leave no checkpoint but whole ones up to a step: before training goes on from there.

    What was never committed is removed; what was found damaged is set aside.

    Args:
        run_dir: the run's folder.
        found: what there is to go on from.
        tell: told of each folder without a manifest that is removed; it is also logged, as is what
            is set aside, which was told of when it was found.

    Raises:
        OSError: there is a newer one that nobody has looked at; nothing was changed.
    """
    folder = run_dir / FOLDER
    _check_all_known(run_dir, found)
    for path in paths_in(folder, ".*.tmp"):
        path.unlink(missing_ok=True)  # a worker of an attempt that was given up may do so too
    for path in paths_in(folder, "step-*"):
        if not is_there(path / MANIFEST):
            _tell(
                f"{path}: the checkpoint has no manifest, so it was not finished; it is removed",
                tell,
            )
            remove_tree(path)
    for step in found.damaged:
        aside = folder / f"damaged-step-{step}"
        logger.warning("%s: it is damaged, and set aside as %s", folder / f"step-{step}", aside)
        link = link_of(run_dir)
        if link is not None:
            set_aside(link, step)
        with contextlib.suppress(OSError):
            remove_tree(aside)
        (folder / f"step-{step}").replace(aside)


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
        CheckpointError: it was made with another plan, dataset, configuration, kind of device, or
            other frozen parameters.
    """
    manifest = json.loads(content.manifest.tobytes())
    folder, theirs = run_dir / FOLDER / f"step-{manifest['step']}", manifest["digests"]
    differing = [
        name
        for name, own in digests.items()
        if theirs.get(name) != own and (name in theirs or name not in _LATER)
    ]
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


def _check_all_known(run_dir: Path, found: Found) -> None:
    """Refuse a checkpoint that was not there a moment ago: it may be good."""
    for step in committed_steps(run_dir):
        if step not in found.damaged and (found.step is None or step > found.step):
            raise OSError(
                f"{run_dir / FOLDER / f'step-{step}'} is there now, and was not when the newest "
                "good checkpoint was looked for: the storage does not show all that it holds"
            )


def _tell(text: str, tell: Callable[[str], None]) -> None:
    logger.warning("%s", text)
    tell(text)


def _checked_manifest(path: Path, content: bytes) -> dict[str, Any]:
    """Return the manifest of a checkpoint after comparing it with its checksum."""
    folder = path.parent
    try:
        manifest = from_json(content)
        stated, found_sha256 = manifest.pop("sha256"), sha256_of(manifest)
    except _MALFORMED as fault:
        raise _damaged(path, f"the manifest cannot be read ({fault!r})") from fault
    if stated != found_sha256:
        raise _damaged(path, "the manifest is not what was written")
    if not all(isinstance(manifest.get(name), kind) for name, kind in _FIELDS.items()):
        raise _damaged(path, "the manifest has other fields")
    if manifest["format"] != FORMAT_VERSION or folder.name != f"step-{manifest['step']}":
        raise _damaged(path, f"it is of step {manifest['step']}, format {manifest['format']}")
    found: dict[str, Any] = manifest
    return found


def _content(folder: Path, step: int, link: Link | None, keeps_tensors: bool) -> Content | None:
    """Return a checkpoint's bytes, found whole, here or at the store that keeps the run.

    Returns:
        None: another who goes on with the run has removed it meanwhile.
    """
    try:
        return _checked(folder, keeps_tensors=keeps_tensors)
    except CheckpointError as fault:
        if link is None:
            raise
        is_here = is_there(folder / MANIFEST)
        if not fetch_checkpoint(link, step, folder):
            if is_here:
                raise
            return None
        if is_here:
            logger.warning("the copy here was fetched again: %s", fault)
    return _checked(folder, keeps_tensors=keeps_tensors)


def _checked(folder: Path, *, keeps_tensors: bool) -> Content:
    """Return a checkpoint's bytes after comparing each of its files with its checksum."""
    path = folder / MANIFEST
    try:
        manifest = read_file(path)
    except (*_LACKING, ValueError) as fault:
        raise _damaged(path, f"the manifest cannot be read ({fault!r})") from fault
    files, tensors = _checked_manifest(path, manifest)["files"], NO_CONTENT.tensors
    _check_files(path, files)
    for name in {TENSORS: None, **files}:
        path = folder / name
        try:
            _check_kind(path)
            length = (files.get(name) or {}).get("num_bytes", 0)
            if name == TENSORS and keeps_tensors:
                tensors, found = _read_hashing(path, length)
            else:
                found = _hashed(path, length)
        except _LACKING as fault:
            raise _damaged(path, f"the file cannot be read ({fault})") from fault
        if found != files.get(name):
            raise _damaged(path, "the file is not what was written")
    return Content(np.frombuffer(bytearray(manifest), np.uint8), tensors)


def _check_files(manifest: Path, files: Mapping[str, Any]) -> None:
    """Refuse a manifest that names other files than checkpoints have: nothing else is read."""
    for name, entry in files.items():
        if not _FILE.fullmatch(name):
            raise _damaged(manifest, f"the manifest names {name!r}, which is no file of its own")
        if not (isinstance(entry, dict) and is_count(entry.get("num_bytes"))):
            raise _damaged(manifest, f"the manifest says {entry!r} of {name}")


def _check_kind(path: Path) -> None:
    """Refuse a pipe or a device, which would be read without end."""
    kind = path.stat().st_mode
    if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):  # opening a folder tells more
        raise _damaged(path, "it is no file")


def _check_length(path: Path, file: IO[bytes], length: int) -> None:
    """Refuse a file of another length: one that is only claimed would fill the memory."""
    # Of the open file: what NFS remembers of another may be a minute old.
    if os.fstat(file.fileno()).st_size != length:
        raise _damaged(path, "the file is not what was written")


def _hashed(path: Path, length: int) -> dict[str, Any]:
    with path.open("rb") as file:
        _check_length(path, file, length)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return {"sha256": sha256, "num_bytes": file.tell()}


def _read_hashing(path: Path, length: int) -> tuple[npt.NDArray[np.uint8], dict[str, Any]]:
    """Return a file's first bytes, and what `_hashed` says of it where it has no more."""
    sha256, num_bytes = hashlib.sha256(), 0
    with path.open("rb", buffering=0) as file:
        _check_length(path, file, length)
        content = np.empty(length, np.uint8)
        while num_read := file.readinto(content[num_bytes : num_bytes + CHUNK_BYTES].data):
            sha256.update(content[num_bytes : num_bytes + num_read].data)
            num_bytes += num_read
        num_bytes += len(file.read(1))
    return content, {"sha256": sha256.hexdigest(), "num_bytes": num_bytes}


def _shown(digest: str | None) -> str:
    return (digest or "none")[:12]


def _damaged(path: Path, message: str) -> CheckpointError:
    return CheckpointError(
        message,
        where=shown(path),
        expected="a checkpoint as it was committed",
        mend="The newest good one before it is taken up, or training begins anew",
    )
