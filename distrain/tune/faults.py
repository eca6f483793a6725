"""What is told of a trial that failed: whose fault it was, where, and of memory what there was."""

import errno
import importlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, final

from distrain.errors import DistrainError, TrainError, first_line
from distrain.object_store.link import shown
from distrain.train.beat import LOG_FOLDER, BeatRecord
from distrain.train.faults import cause_of, death_of
from distrain.tune.hangs import LOG

OUT_OF_MEMORY: Final = "out_of_memory"
# What allocators say that raise neither MemoryError nor torch.OutOfMemoryError: torch's on a CPU,
# CUDA's outside of torch's own, cuBLAS's, C++'s.
_NO_MEMORY: Final = (
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "out of memory",
    "_alloc_failed",
    "bad_alloc",
)
_OF_GPU: Final = ("cuda", "cublas", "cudnn", "nccl")
# What Ray says where it killed for want of memory: what was used, and of how much; and what of it
# by the process.
_MACHINE_USED: Final = re.compile(r"was ([\d.]+\w*B) used / ([\d.]+\w*B) limit")
_PROCESS_USED: Final = re.compile(r"actual memory used=([\d.]+\w*B)")
_MEND: Final = (
    "Bound what the space may take of train.global_batch_size or the model's size, or give trials "
    "more with train.resources_per_worker or fewer at a time with tune.max_concurrent"
)


def who(folder: Path, rank: int, common: Mapping[str, Any]) -> str:
    """Return what a process of a trial is called in messages.

    Args:
        folder: the trial's.
        rank: the process's.
        common: as in `trial.run_slot`.
    """
    worker = f", worker of rank {rank}" if common["num_workers"] > 1 else ""
    return f"trial {folder.name}{worker}"


def told_of(
    error: BaseException, folder: Path, rank: int, common: Mapping[str, Any]
) -> DistrainError:
    """Return what the user is told of an exception that a trial's training raised.

    Args:
        error: what was raised.
        folder: the trial's.
        rank: of the process that it was raised in.
        common: as in `trial.run_slot`.
    """
    if isinstance(error, DistrainError):
        return error
    name = type(error).__name__
    text = f"{name}: {error}".rstrip(": ")
    steps = [note for note in getattr(error, "__notes__", ()) if note.startswith("step ")]
    where = ", ".join([who(folder, rank, common), *steps])
    if is_out_of_memory(error):
        there = memory_text(has_gpu=common["has_gpu"] and _is_of_gpu(error))
        return TrainError(
            text,
            where=where,
            expected=f"memory for the trial; it had {common['reserved']}, and {there}",
            mend=_MEND,
        )
    log = shown(folder / LOG_FOLDER / LOG.format(rank=rank))
    return TrainError(text, where=where, mend=f"The traceback is in {log}")


def error_fields(
    error: BaseException, folder: Path, rank: int, common: Mapping[str, Any]
) -> dict[str, str]:
    """Return what is told of an exception as the event log holds it, with whose fault it is."""
    name = getattr(error, "error_class", "") or type(error).__name__
    cause = getattr(error, "cause", "") or cause_of(error).replace("peer", "cluster")
    told = told_of(error, folder, rank, common)
    return {**told.to_json(), "class": name, "cause": cause}


def not_begun(fault: OSError, folder: Path, rank: int, common: Mapping[str, Any]) -> TrainError:
    """Return the error of an attempt whose folder or place at a store could not be had.

    Args:
        fault: why.
        folder: the trial's.
        rank: of the process that it happened in.
        common: as in `trial.run_slot`.
    """
    return TrainError(
        f"it could not begin ({type(fault).__name__}: {first_line(fault)})",
        where=who(folder, rank, common),
        expected="storage that can be read and written",
        mend="See to the storage, then go on with the search: distrain resume",
        cause="cluster",
        error_class=type(fault).__name__,
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an exception says that there was no memory left, of the machine or a GPU."""
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(
        words in str(error).lower() for words in _NO_MEMORY
    )


def _is_of_gpu(error: BaseException) -> bool:
    return any(name in str(error).lower() for name in _OF_GPU)


def memory_text(*, has_gpu: bool) -> str:
    """Return in words what memory this process holds and what is there now: of its GPU, or else.

    Args:
        has_gpu: whether it is the GPU's that matters.
    """
    if has_gpu:
        import torch

        free, total = torch.cuda.mem_get_info()
        held = torch.cuda.max_memory_reserved()
        return f"held {_gib(held)} of the GPU's {_gib(total)}, of which {_gib(free)} are free"
    free, total = _machine_memory()
    psutil: Any = importlib.import_module("psutil")  # Ray's own copy, there once Ray is imported
    held = psutil.Process().memory_info().rss
    return f"held {_gib(held)} of the machine's {_gib(total)}, of which {_gib(free)} are free"


def _machine_memory() -> tuple[int, int]:
    """Return the bytes that are free and all of them, by Ray, which knows a container's limits."""
    used: Any = importlib.import_module("ray._private.utils")
    limits: Any = importlib.import_module("ray._common.utils")
    total = int(limits.get_system_memory())
    return total - int(used.get_used_memory()), total


def _gib(num_bytes: int) -> str:
    return f"{num_bytes / 2**30:.1f} GiB"


@final
class KernelKills:
    """Knows which dead processes the kernel may have killed: for want of memory, on this machine.

    Args:
        node: Ray's id of this machine; what the kernels of others do is not known here.
        counters: the file that has the kernel's count; where there is none, nothing is known.
    """

    def __init__(self, node: str, counters: Path = Path("/proc/vmstat")) -> None:
        self._node = node
        self._counters = counters
        self._count = self._read()

    def killed(self, ranks: Iterable[int], beats: Mapping[int, BeatRecord]) -> set[int]:
        """Return which of a trial's dead processes it may have killed since it was last asked.

        Args:
            ranks: the dead processes'.
            beats: what they told last, by rank; of one that told nothing, nothing is claimed.
        """
        here = {rank for rank in ranks if rank in beats and beats[rank].node == self._node}
        if not here:
            return here
        before, self._count = self._count, self._read()
        return here if self._count > before else set()

    def _read(self) -> int:
        try:
            lines = self._counters.read_text(encoding="utf-8").splitlines()
        except OSError:
            return 0
        return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def death_text(
    whose: str, said: str, step: int | None, reserved: str, *, is_by_kernel: bool = False
) -> TrainError:
    """Return the error of a trial of which a process died; of one without memory, what it had.

    Args:
        whose: process it was.
        said: what Ray says of it.
        step: committed steps, as last told; None: unknown.
        reserved: what Ray reserved for the trial, in words.
        is_by_kernel: whether the kernel may have killed it, on this machine.
    """
    error = death_of(whose, said, step)
    if error.error_class == "killed" and is_by_kernel:
        free, total = _machine_memory()
        there = f"afterwards {_gib(free)} of its machine's {_gib(total)} are free"
        return _without_memory("the kernel", error.where, f"it had {reserved}, and {there}")
    if error.error_class != OUT_OF_MEMORY:
        return error
    machine, process = _MACHINE_USED.search(said), _PROCESS_USED.search(said)
    held = f"held {process[1]}, " if process else ""
    used = f"{machine[1]} of its machine's {machine[2]} were used" if machine else "it was used up"
    return _without_memory("Ray", error.where, f"it had {reserved}, {held}and {used}")


def _without_memory(killer: str, where: str, there: str) -> TrainError:
    return TrainError(
        f"{killer} killed the trial, because its machine ran out of memory",
        where=where,
        expected=f"memory for all trials of the machine; {there}",
        mend="Use fewer at a time with tune.max_concurrent, or bound what the space may take of "
        "train.global_batch_size and of the model's size",
        cause="user",
        error_class=OUT_OF_MEMORY,
    )
