"""Freed memory is kept: a step's activations are not mapped anew each time."""

import subprocess
import sys

import pytest

# In a thread, as Ray Train runs the loop; what a step allocates is freed after it.
FAULTS = """
import resource, threading
import torch
from distrain.train.allocator import keep_freed_memory

def faults_of_steps(count):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(count):
        blocks = [torch.zeros(size << 18) for size in (3, 9, 40)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def work():
    left_alone = faults_of_steps(20)
    keep_freed_memory()
    faults_of_steps(5)
    print(left_alone, faults_of_steps(20))

thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_steps_do_not_fault_their_memory_in_again() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True
    )
    left_alone, kept = map(int, ended.stdout.split())
    assert left_alone > 100_000, "the blocks are too small to show it"
    assert kept < left_alone / 10
