"""A checkpoint that all workers write, each its own shares, and any number of workers reads.

    step-<k>/state.safetensors             rank zero's shares, and what all workers have alike
    step-<k>/state-rank-<r>.safetensors    the shares of another worker

A share is named `<kind>.share.<parameter>...` and holds some rows of the whole tensor; the files'
rows, one file after another, are all of them. A worker reads just the rows it will hold.

Torch's own distributed checkpoints are not used: their index (`.metadata`) is a pickle, and with
its reader and writer of safetensors files one would still have to add checksums, a manifest, and a
commit that is whole or not at all (torch 2.13.0).

Who is not rank zero leaves its file beside the checkpoint's folder, and then a note with its
checksum. Rank zero, once it has written its own, waits for the notes, moves the files into the
folder, and names them in the manifest. Both are named after the attempt: a worker of an earlier one
that does not know yet that it was given up touches nothing of the newer one's.
"""

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import safe_open

from distrain.durable import write_atomically
from distrain.listing import has_come, paths_in
from distrain.train.checkpoint import FOLDER, TENSORS
from distrain.train.tensor_file import write_tensors
from distrain.train.world import World

SHARE: Final = "share."
"""Begins the name of what differs from worker to worker."""
POLL_S: Final = 0.01


def only_shares(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return those of a checkpoint's tensors that differ from worker to worker."""
    return {name: tensor for name, tensor in tensors.items() if _is_share(name, tensor.dim())}


def write_share(
    run_dir: Path,
    step: int,
    rank: int,
    tensors: Mapping[str, torch.Tensor],
    check_still_ours: Callable[[], None] = lambda: None,
    attempt: str = "0",
) -> None:
    """Write a worker's file of a checkpoint that rank zero will commit, and make it durable.

    Args:
        run_dir: the run's folder.
        step: committed steps.
        rank: this worker's, not zero.
        tensors: its shares.
        check_still_ours: asked before anything is written and before the file is offered; raises
            where others have taken over.
        attempt: which one at the run, unlike any other.

    Raises:
        OSError: it cannot be written; rank zero is told, if that can be.
    """
    check_still_ours()
    file = _file(run_dir, step, rank, attempt)
    remove_shares(run_dir, f"{rank}-{attempt}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        note: dict[str, Any] = write_tensors(file, tensors)
        check_still_ours()
        write_atomically(_note(file), json.dumps(note).encode())
    except OSError as fault:
        with contextlib.suppress(OSError):  # a full disk may not take this either
            file.unlink(missing_ok=True)
            write_atomically(_note(file), json.dumps({"fault": str(fault)}).encode())
        raise


@contextlib.contextmanager
def taken_in(
    folder: Path, step: int, world: World, is_leaving: threading.Event, attempt: str = "0"
) -> Iterator[dict[str, Any]]:
    """Move the files of all other workers into a checkpoint's folder, once they are there.

    Gives their `sha256` and `num_bytes` by name. Where they cannot all be moved, or the block fails
    for want of room, they are put back, for another try.

    Args:
        folder: the checkpoint's.
        step: committed steps.
        world: sizes and ranks.
        is_leaving: ends the wait when set.
        attempt: which one at the run, as the others have named it.

    Raises:
        OSError: a worker could not write its file, or it did not come.
    """
    run_dir = folder.parent.parent
    deadline = time.monotonic() + world.collective_timeout_s
    files = {name: _file(run_dir, step, rank, attempt) for rank, name in _names(world.world_size)}
    notes = {name: _awaited(file, deadline, is_leaving) for name, file in files.items()}
    try:
        for name, file in files.items():
            file.replace(folder / name)
        yield notes
    except OSError:
        for name, file in files.items():
            with contextlib.suppress(OSError):  # it may not have been moved
                (folder / name).replace(file)
        raise
    for file in files.values():
        _note(file).unlink(missing_ok=True)


def remove_shares(run_dir: Path, which: str = "*") -> None:
    """Remove what workers have written for checkpoints that were not committed.

    Args:
        run_dir: the run's folder.
        which: `<rank>-<attempt>`, or all.
    """
    for path in paths_in(run_dir / FOLDER, f".step-*-rank-{which}.*tmp"):
        path.unlink(missing_ok=True)


def read_shares(folder: Path, num_files: int, world: World) -> dict[str, torch.Tensor]:
    """Return a worker's tensors of a checkpoint: its rows of shares, and all that is no share.

    Args:
        folder: the checkpoint's.
        num_files: how many workers have written it.
        world: sizes and ranks, whatever they were when it was written.
    """
    with contextlib.ExitStack() as stack:
        names = [TENSORS, *(name for _, name in _names(num_files))]
        files = [stack.enter_context(safe_open(folder / name, framework="pt")) for name in names]
        return {name: _read(files, name, world) for name in files[0].keys()}  # noqa: SIM118 - no mapping


def own_rows(num_rows: int, world: World) -> range:
    """Return the rows of a tensor that a worker holds, as `torch.chunk` cuts it: maybe none."""
    size = -(-num_rows // world.world_size)
    first = min(num_rows, world.world_rank * size)
    return range(first, min(num_rows, first + size))


def _read(files: Sequence[Any], name: str, world: World) -> torch.Tensor:
    first: torch.Tensor = files[0].get_tensor(name)
    if not _is_share(name, first.dim()):
        return first
    pieces = [file.get_slice(name) for file in files]
    counts = [piece.get_shape()[0] for piece in pieces]
    own = own_rows(sum(counts), world)
    found, start = [first[:0]], 0
    for piece, count in zip(pieces, counts, strict=True):
        rows = range(max(own.start, start) - start, min(own.stop, start + count) - start)
        if rows:
            found.append(piece[rows.start : rows.stop])
        start += count
    return torch.cat(found)


def _is_share(name: str, num_dimensions: int) -> bool:
    # An optimizer's count of steps is a single number, the same for every worker.
    return num_dimensions > 0 and name.partition(".")[2].startswith(SHARE)


def _names(num_files: int) -> list[tuple[int, str]]:
    stem, _, extension = TENSORS.partition(".")
    return [(rank, f"{stem}-rank-{rank}.{extension}") for rank in range(1, num_files)]


def _file(run_dir: Path, step: int, rank: int, attempt: str) -> Path:
    # An attempt begins with removing what is named like this: see `taking_up.clear_after`.
    return run_dir / FOLDER / f".step-{step}-rank-{rank}-{attempt}.tmp"


def _note(file: Path) -> Path:
    return file.with_suffix(".note.tmp")


def _awaited(file: Path, deadline: float, is_leaving: threading.Event) -> dict[str, Any]:
    while not has_come(_note(file)):
        if is_leaving.wait(POLL_S) or time.monotonic() > deadline:
            raise TimeoutError(f"another worker has not written {os.fspath(file)}")
    note: dict[str, Any] = json.loads(_note(file).read_text(encoding="utf-8"))
    if "fault" in note:
        _note(file).unlink()
        raise OSError(f"another worker could not write its part: {note['fault']}")
    return note
