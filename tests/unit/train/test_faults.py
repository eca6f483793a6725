"""Whose fault an attempt's end is, and whether another attempt is made; without Ray."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from distrain.errors import CheckpointError, DataError, TrainError
from distrain.train.beat import LOG_FOLDER
from distrain.train.faults import (
    CRASHED,
    FAILURE_FILE,
    NODE_LEFT,
    NODE_LOST,
    Fault,
    Kind,
    cause_of,
    find_fault,
    read_failures,
    verdict,
)

KILLED = (
    "The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker "
    "exit detail: Worker unexpectedly exits with a connection error code 2. End of file. Some "
    "common causes include: (1) the process was killed by the OOM killer due to high memory usage"
)


def unfetched(fault: OSError) -> DataError:
    error = DataError("a shard cannot be fetched")
    error.__cause__ = fault
    return error


def record(cause: str, message: str = "went wrong", step: int | None = 8) -> dict[str, Any]:
    fields = {"message": message, "where": "worker of rank 0", "expected": "", "mend": "mend it"}
    return {**fields, "cause": cause, "step": step, "raised": "ValueError"}


def fault(
    kind: Kind, step: int | None = 7, message: str = "went wrong", *, is_at_start: bool = False
) -> Fault:
    return Fault(kind, TrainError(message), step, is_at_start=is_at_start)


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (AssertionError("in the model"), "user"),
        (ValueError("shapes differ"), "user"),
        (SystemExit(3), "user"),
        (torch.OutOfMemoryError("CUDA out of memory"), "user"),
        (MemoryError(), "user"),
        (TrainError("the loss is nan"), "user"),
        (CheckpointError("taken over by another driver"), "user"),
        (DataError("the prepared dataset is missing"), "user"),
        (unfetched(FileNotFoundError(2, "No such file or directory")), "user"),
        (unfetched(TimeoutError("timed out")), "cluster"),
        (RuntimeError("CUDA error: device-side assert triggered"), "user"),
        (RuntimeError("CUDA error: uncorrectable ECC error encountered"), "cluster"),
        (OSError(5, "Input/output error"), "cluster"),
        (dist.DistError("the worker of rank 1 is gone"), "peer"),
        (RuntimeError("[../gloo/transport/tcp/pair.cc] Connection closed by peer"), "peer"),
        (RuntimeError("Timed out waiting 10000ms for recv operation to complete"), "peer"),
    ],
)
def test_errors_are_told_apart(error: BaseException, cause: str) -> None:
    assert cause_of(error) == cause


def test_the_user_s_error_is_the_cause_and_not_what_followed_from_it() -> None:
    found = find_fault([record("peer", "rank 1 is gone"), record("user", "boom")], {}, 3, "")

    assert (found.kind, found.error.message, found.step) == ("user", "boom", 7)


def test_a_process_that_died_is_the_cause_whatever_the_others_said() -> None:
    found = find_fault([record("user", "strange")], {1: KILLED}, 7, "")

    assert found.kind == "killed"
    assert found.text == "worker of rank 1, after step 7: the worker's process was killed"


def test_a_worker_killed_for_memory_is_told_from_one_killed_by_somebody() -> None:
    said = "Task was killed due to the node running low on memory."

    found = find_fault([], {0: KILLED, 2: said}, 7, "")

    assert found.kind == "out_of_memory"
    assert "fewer workers to a machine" in found.error.mend


@pytest.mark.parametrize("said", ["the actor's node was terminated unexpectedly: x", NODE_LOST])
def test_a_lost_node_is_told_from_a_killed_process(said: str) -> None:
    assert find_fault([], {0: KILLED, 1: said}, 7, "").kind == "node_lost"


def test_where_nobody_left_a_word_ray_s_is_told() -> None:
    found = find_fault([], {}, None, "placement group timed out")

    assert (found.kind, found.error.message) == ("cluster", "placement group timed out")


def test_a_worker_that_dies_before_it_has_a_rank_is_a_killed_one() -> None:
    found = find_fault([], {None: KILLED}, None, "failed to initialize")

    assert found.kind == "killed"
    assert found.text == (
        "a worker that was starting, before the first step: the worker's process was killed"
    )


def test_a_failure_record_that_cannot_be_read_leaves_the_others(tmp_path: Path) -> None:
    (tmp_path / LOG_FOLDER).mkdir()
    whole = {**record("user"), "time_s": 1.0}
    (tmp_path / LOG_FOLDER / FAILURE_FILE.format(rank=0)).write_text('{"message": "the h')
    (tmp_path / LOG_FOLDER / FAILURE_FILE.format(rank=1)).write_text(json.dumps(whole))
    (tmp_path / LOG_FOLDER / FAILURE_FILE.format(rank=2)).mkdir()  # no file that can be read

    assert read_failures(tmp_path) == [whole]


def test_the_user_s_fault_ends_the_run_at_once() -> None:
    error = verdict([fault("user", message="boom")], max_failures=3)

    assert error is not None
    assert error.message == "boom"
    assert (error.cause, error.error_class) == ("user", "user")


def test_the_error_that_ends_a_run_says_whose_fault_it_is_and_what_was_raised() -> None:
    raised = verdict([find_fault([record("user")], {}, 3, "")], max_failures=3)
    lost = verdict([find_fault([], {1: NODE_LOST}, 7, "")], max_failures=0)

    assert raised is not None
    assert (raised.cause, raised.error_class) == ("user", "ValueError")
    assert lost is not None
    assert (lost.cause, lost.error_class) == ("cluster", "node_lost")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("crashed", "crashed"),
        ("killed", "crashed"),
        ("out_of_memory", "killed"),
        ("cluster", "cluster"),
    ],
)
def test_the_same_fault_twice_at_one_step_ends_the_run(first: Kind, second: Kind) -> None:
    error = verdict([fault(first), fault(second)], max_failures=3)

    assert error is not None
    assert error.message == "went wrong, twice after step 7"


@pytest.mark.parametrize("kinds", [("killed", "killed", "killed"), ("killed", "peer", "killed")])
def test_what_may_come_from_outside_ends_the_run_when_it_comes_thrice(kinds: list[Kind]) -> None:
    faults = [fault(kind) for kind in kinds]

    assert verdict(faults[:2], max_failures=9) is None
    error = verdict(faults, max_failures=9)
    assert error is not None
    assert error.message == "went wrong, three times after step 7"


def test_workers_killed_while_they_begin_are_no_fault_of_the_step() -> None:
    faults = [fault("killed", is_at_start=at_start) for at_start in (False, True, True, True)]

    assert verdict(faults, max_failures=4) is None
    assert "more than 3 times" in str(verdict(faults, max_failures=3))


def test_kills_of_workers_that_only_begin_are_not_gone_on_with_for_ever() -> None:
    faults = [fault("killed", step, is_at_start=True) for step in (0, 7, *[0] * 10)]

    assert verdict(faults[:9], max_failures=1000) is None
    error = verdict(faults, max_failures=1000)
    assert error is not None
    assert error.message == "went wrong, 10 times while workers began"


def test_a_crash_while_workers_begin_comes_again() -> None:
    faults = [fault("crashed", is_at_start=True)] * 2

    assert verdict(faults, max_failures=9) is not None


def test_a_worker_that_had_yet_to_begin_is_told_from_one_within_a_step() -> None:
    deaths: dict[int | None, str] = {0: KILLED, 1: CRASHED + "Aborted"}

    assert find_fault([], deaths, 7, "", begun=[1]).is_at_start is False
    assert find_fault([], deaths, 7, "", begun=[0]).is_at_start is True
    assert find_fault([], {None: KILLED}, 7, "").is_at_start is True


def test_a_crash_says_what_it_was_and_where_its_stack_is() -> None:
    found = find_fault([], {0: KILLED, 1: CRASHED + "Segmentation fault"}, 7, "")

    assert found.text == (
        "worker of rank 1, after step 7: the worker's process crashed: Segmentation fault"
    )
    assert "log" in found.error.mend


def test_workers_that_cannot_even_begin_end_the_run_at_the_second_time() -> None:
    error = verdict([fault("cluster", None), fault("cluster", None)], max_failures=3)

    assert error is not None
    assert error.message == "went wrong, twice before the first step"


def test_a_fault_of_storage_is_the_same_whatever_file_it_names() -> None:
    read_only = "OSError: [Errno 30] Read-only file system: '{}'"
    first = fault("cluster", 7, read_only.format("run/.state.0c1d.tmp"))
    second = fault("cluster", 7, read_only.format("run/.state.77ab.tmp"))

    error = verdict([first, second], max_failures=3)

    assert error is not None
    assert "state.77ab.tmp', twice" in error.message


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (fault("killed", 7), fault("killed", 8)),
        (fault("node_lost"), fault("node_lost")),
        (fault("killed", None), fault("killed", None)),
        (fault("cluster", message="no space left"), fault("cluster", message="stale handle")),
        (
            fault("cluster", message="OSError: [Errno 5] Input/output error: 'a'"),
            fault("cluster", message="OSError: [Errno 116] Stale file handle: 'a'"),
        ),
        # The driver's own files, before workers begin: the storage may be back at the next attempt.
        (
            fault("cluster", None, "OSError: [Errno 5] Input/output error: 'a'"),
            fault("cluster", None, "OSError: [Errno 5] Input/output error: 'a'"),
        ),
    ],
)
def test_bad_luck_twice_is_no_reason_to_give_up(first: Fault, second: Fault) -> None:
    assert verdict([first, second], max_failures=3) is None


def test_more_losses_than_allowed_end_the_run() -> None:
    faults = [fault("killed", step) for step in (1, 5, 9)]

    assert verdict(faults, max_failures=3) is None
    error = verdict(faults, max_failures=2)
    assert error is not None
    assert "more than 2 times" in error.message


@pytest.mark.parametrize("kind", ["preempted", "no_room"])
def test_what_is_nobody_s_fault_is_not_counted(kind: Kind) -> None:
    assert verdict([fault(kind), fault(kind, 9)], max_failures=0) is None


def test_a_node_that_left_as_announced_is_told_from_a_lost_one() -> None:
    assert find_fault([], {0: KILLED, 1: NODE_LEFT}, 7, "").kind == "preempted"
