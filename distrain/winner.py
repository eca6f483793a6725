"""The run that a search's winner becomes: in a folder beside the search's, to its end.

Where hosts share their folders, the trial's folder becomes the run's. Where an object store keeps
them, the trial's checkpoint and ledger are copied there, and the trial's own removed.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from distrain import lease
from distrain.claim_files import CLAIMS
from distrain.display import Display
from distrain.object_store.link import link_of
from distrain.object_store.work_link import driver_folder
from distrain.results import TrainResult
from distrain.run_facts import StartedRun, started_facts
from distrain.run_folder import RESULT, remove_result
from distrain.running import finish_run
from distrain.stored_run import read_result
from distrain.train.beat import LOG_FOLDER
from distrain.train.from_settings import job_from_settings
from distrain.train.preflight import try_first_batch
from distrain.tune.places import hand_over
from distrain.tune.search import Search
from distrain.tune.sweep import Sweep
from distrain.tune.trials import Trial
from distrain.workplace import Places


def finish_winner(
    run: StartedRun, sweep: Sweep, search: Search, places: Places, display: Display
) -> TrainResult:
    """Make the run that the winner becomes, and come to its end; or find that done."""
    best = search.best
    assert best is not None
    trial_folder, sweep_link = sweep.folder_of(best.number), link_of(run.run_dir)
    with _winner_folder(run.run_dir, best.number, trial_folder) as run_dir:
        done = read_result(run_dir)
        if done is not None and done.is_done:
            return done
        winner = _winner(run, sweep, best, places, run_dir)
        with lease.holding(run_dir, display.note) as held:
            link = link_of(run_dir)
            if sweep_link is not None and link is not None:
                num_taken = sweep.num_taken(search, best.number)
                hand_over(sweep_link, trial_folder.name, num_taken, link)
            if (run_dir / RESULT).exists():  # of an end that was none, or that cannot be read
                remove_result(run_dir)
            return finish_run(winner.held(held.fence), display)


@contextmanager
def _winner_folder(sweep_dir: Path, number: int, trial_folder: Path) -> Iterator[Path]:
    """Give the folder of the run that the winner becomes; the trial's, where hosts share them."""
    name, link = f"{sweep_dir.name}-{number:04d}", link_of(sweep_dir)
    if link is not None:
        with driver_folder(link.place.parent.below(name), is_new=False) as run_dir:
            yield run_dir
        return
    run_dir = sweep_dir.with_name(name)
    if trial_folder.exists():
        shutil.rmtree(trial_folder / CLAIMS, ignore_errors=True)  # they were the sweep's
        trial_folder.rename(run_dir)
    yield run_dir


def _winner(
    run: StartedRun, sweep: Sweep, best: Trial, places: Places, run_dir: Path
) -> StartedRun:
    """Write down what the run that the winner becomes is started with, and return it."""
    key = f"{run.run_dir.parent.name}/{run.run_dir.name}"
    settings = sweep.settings_of(best.assignment)
    job = job_from_settings(settings, run.prepared.dataset, run_dir)
    winner = replace(
        run,
        settings=settings,
        placement=places.winner,
        preflight=try_first_batch(job, is_for_gpu=places.winner.gpu > 0),
        job=job,
        is_sweep=False,
        won=(key, best.number),
        line=None,
    )
    (run_dir / LOG_FOLDER).mkdir(parents=True, exist_ok=True)
    started_facts(winner).save(run_dir)
    return winner
