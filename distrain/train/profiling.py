"""A trace of a few steps by torch's profiler, to be opened in Perfetto or chrome://tracing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch

from distrain.train.state import Attempt

FOLDER: Final = "profile"
FILE: Final = "steps.json"
STEPS_BEFORE: Final = 10
TRACED_STEPS: Final = 5


@contextmanager
def profiling(run: Attempt) -> Iterator[Callable[[], None]]:
    """Give what is to be called after every step; rank zero's steps 12 to 16 are traced.

    A shorter attempt is traced at its end. Without `train.profile` nothing is done. The trace is
    written to `<run>/profile/steps.json` (chrome trace format).

    Args:
        run: the attempt.
    """
    if not run.job.profile or not run.world.is_rank_zero:
        yield lambda: None
        return
    steps_left = run.setup.total_steps - run.state.step
    activities = [torch.profiler.ProfilerActivity.CPU]
    if run.world.torch_device.type == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    profiler: Any = torch.profiler.profile(
        activities=activities,
        # The profiler's own first step is slow, so it warms up for one.
        schedule=torch.profiler.schedule(
            wait=max(0, min(STEPS_BEFORE, steps_left - TRACED_STEPS - 1)),
            warmup=1,
            active=TRACED_STEPS,
            repeat=1,
        ),
        on_trace_ready=lambda ready: _write(ready, run.run_dir / FOLDER),
    )
    with profiler:
        yield profiler.step


def _write(profiler: Any, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{FILE}.partial"
    profiler.export_chrome_trace(str(partial))
    partial.replace(folder / FILE)
