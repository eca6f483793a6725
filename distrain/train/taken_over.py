"""A run that takes over the state of another, whose settings were the same up to there.

    <run>/.taken/step-<k>/        the other's checkpoint, as it is
    <run>/checkpoints/            that, renamed; what was there before is gone

Whoever is killed halfway leaves a run without a checkpoint, for the next one to do it again. Where
the other's is not there any more the run begins anew, and comes to the same state by itself: its
job says what changes in the course of it.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Final

from distrain.durable import sync_folder
from distrain.train.checkpoint import FOLDER, MANIFEST, committed_steps
from distrain.train.course import config_digest_at
from distrain.train.job import TrainJob
from distrain.train.taking_up import newest_good

_TAKEN: Final = ".taken"


def take_over(job: TrainJob, step: int, source: Path) -> None:
    """Give a run another's checkpoint, unless it has it, or one that follows from it.

    Args:
        job: the run, which nobody trains meanwhile.
        step: committed steps of the state that is taken over.
        source: folder of the run that saved it, which nobody trains either.
    """
    run_dir = Path(job.run_dir)
    if _has_taken_over(job, run_dir, step):
        return
    shutil.rmtree(run_dir / FOLDER, ignore_errors=True)
    shutil.rmtree(run_dir / _TAKEN, ignore_errors=True)
    if step not in committed_steps(source):
        return
    name = f"step-{step}"
    (run_dir / _TAKEN).mkdir(parents=True)
    shutil.copytree(source / FOLDER / name, run_dir / _TAKEN / name, copy_function=_link_or_copy)
    sync_folder(run_dir / _TAKEN)
    (run_dir / _TAKEN).rename(run_dir / FOLDER)
    sync_folder(run_dir)


def _has_taken_over(job: TrainJob, run_dir: Path, step: int) -> bool:
    """Return whether a run's newest checkpoint is one of its course as it is now."""
    newest = newest_good(run_dir)
    if newest is None or newest < step:
        return False
    path = run_dir / FOLDER / f"step-{newest}" / MANIFEST
    digests = json.loads(path.read_text(encoding="utf-8"))["digests"]
    return bool(digests["configuration"] == config_digest_at(job, newest))


def _link_or_copy(source: str, target: str) -> None:
    """Give a file a second name: nobody writes to a checkpoint's; copy it where that cannot be."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
