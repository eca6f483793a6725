"""What is told of a trial that failed, above all for want of memory."""

from pathlib import Path

import pytest
import torch

from distrain.train.beat import BeatRecord
from distrain.tune.faults import (
    KernelKills,
    death_text,
    error_fields,
    is_out_of_memory,
    told_of,
)

COMMON = {"num_workers": 1, "has_gpu": False, "reserved": "1 CPU"}
OF_TWO = {"num_workers": 2, "has_gpu": False, "reserved": "2 workers with 0.5 CPU each"}
# As Ray 2.60.0 says it, shortened.
KILLED_BY_RAY = (
    "1 worker(s) were killed due to the node running low on memory. Memory on the node (IP: "
    "192.0.2.2, ID: be8a) was 15.21GB used / 16.00GB limit (0.950625)\nOOM kill reason: Memory "
    "usage 16331659837B exceeded threshold of 16320875724B (95.0% of 17179869184B limit)\nSelected "
    "to kill: (Actor(d162): job ID=01000000, lease ID=0000, task name=Peer.__init__, required "
    "resources={CPU: 1}, pid=26332, actual memory used=9.04GB, worker ID=6901)"
)


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (MemoryError("cannot have 99 TiB"), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (OSError(12, "Cannot allocate memory"), True),
        (OSError(28, "No space left on device"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_want_of_memory_is_known_by_what_allocators_say(
    error: BaseException, is_memory: bool
) -> None:
    assert is_out_of_memory(error) is is_memory


def test_a_real_allocation_that_fails_tells_what_it_asked_for_and_what_was_there() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**52, dtype=torch.uint8)

    told = told_of(raised.value, Path("trials/0007"), 0, COMMON)

    assert "you tried to allocate 4503599627370496 bytes" in told.message
    assert told.where == "trial 0007"
    assert "it had 1 CPU, and held " in told.expected
    assert "of the machine's" in told.expected
    assert "tune.max_concurrent" in told.mend


def test_the_worker_without_memory_is_named_with_what_all_of_them_had() -> None:
    error = MemoryError("cannot have 99 TiB")
    error.add_note("step 12")

    fields = error_fields(error, Path("trials/0007"), 1, OF_TWO)

    assert fields["message"] == "MemoryError: cannot have 99 TiB"
    assert fields["where"] == "trial 0007, worker of rank 1, step 12"
    assert "it had 2 workers with 0.5 CPU each, and held" in fields["expected"]
    assert (fields["class"], fields["cause"]) == ("MemoryError", "user")


def test_a_process_that_ray_killed_for_memory_tells_what_its_machine_had() -> None:
    error = death_text("trial 7", KILLED_BY_RAY, 12, "1 CPU")

    assert error.message == "Ray killed the trial, because its machine ran out of memory"
    assert error.where == "trial 7, after step 12"
    assert (
        "it had 1 CPU, held 9.04GB, and 15.21GB of its machine's 16.00GB were used"
        in error.expected
    )
    assert error.error_class == "out_of_memory"


def beat_on(node: str) -> BeatRecord:
    return BeatRecord(1, 26332, 12, 9, False, "compute", node)


@pytest.fixture
def counters(tmp_path: Path) -> Path:
    """The kernel's counters, as it has killed three processes since the machine began."""
    path = tmp_path / "vmstat"
    path.write_text("nr_free_pages 12\noom_kill 3\noom_kill_other 9\n")
    return path


def test_a_process_that_the_kernel_killed_for_memory_is_told_so(counters: Path) -> None:
    kills, beats = KernelKills("here", counters), {0: beat_on("here")}
    assert kills.killed([0], beats) == set()
    counters.write_text("nr_free_pages 12\noom_kill 4\noom_kill_other 9\n")

    is_by_kernel = 0 in kills.killed([0], beats)
    error = death_text("trial 7", "killed by SIGKILL", 12, "1 CPU", is_by_kernel=is_by_kernel)

    assert error.message == "the kernel killed the trial, because its machine ran out of memory"
    assert "it had 1 CPU, and afterwards " in error.expected
    assert error.error_class == "out_of_memory"
    assert kills.killed([0], beats) == set()


def test_of_a_process_elsewhere_or_that_told_nothing_it_is_not_known(counters: Path) -> None:
    kills = KernelKills("here", counters)
    beats = {0: beat_on("here"), 1: beat_on("there"), 2: beat_on("here")}
    counters.write_text("oom_kill 4\n")

    assert kills.killed([1, 3], beats) == set()
    assert kills.killed([0, 1, 3], beats) == {0}


def test_where_the_kernel_counts_nothing_a_process_was_just_killed(tmp_path: Path) -> None:
    kills = KernelKills("here", tmp_path / "absent")

    is_by_kernel = 0 in kills.killed([0], {0: beat_on("here")})
    error = death_text("trial 7", "killed by SIGKILL", 12, "1 CPU", is_by_kernel=is_by_kernel)

    assert error.error_class == "killed"


def test_other_exceptions_point_to_the_log_of_their_worker() -> None:
    told = told_of(ValueError("no"), Path("trials/0007"), 1, OF_TWO)

    assert told.message == "ValueError: no"
    assert told.mend == "The traceback is in trials/0007/logs/rank-1.txt"
