"""A search on Ray Tune: Tune places warm actors; the search says which trials run in them, how far.

In: a search, and what runs trials in an actor. Out: the search, at its end. A trial of Tune's is a
slot (`slots.py`): an actor that is given one trial of ours after the other. So Tune's own
schedulers and its record of the experiment have no part in it:

    Tune asks its searcher for a slot      course.next_work, if there is any
    Tune tells its scheduler a result      search.reported, ended, paused, lost; what the trial does
                                           now, or the slot's next one, is left in the slot's folder
    there is no work for a slot            the scheduler stops it; Tune keeps the actor for the next
    an actor died                          course.lost

A result is held in the actor until it is taken, so that no trial runs ahead of a decision. When
each trial was one of Tune's, it took 62 ms with two slots, half of them in Tune's driver: a
placement group, a copy of the configuration, the state of the whole experiment, which Tune writes
again and again and which grows. Now it takes 13 ms; Ray Tune by itself, with `reuse_actors` and no
loggers, took 64 ms beside it (a slow machine of 2 cores, `tests/bench/search.py`; 2026-11-29).
"""

import contextlib
import logging
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self, final

from distrain import lease
from distrain.errors import TrainError
from distrain.object_store.link import link_of
from distrain.train.line import Line
from distrain.train.placement import Placement
from distrain.train.worker import STOP_FILE
from distrain.tune.actor_environment import actors_started_with
from distrain.tune.course import Course
from distrain.tune.hangs import watching_for_hangs
from distrain.tune.peers import node_of_process
from distrain.tune.slots import Slots
from distrain.tune.trials import Work

LEASE_LOOK_S: Final = 1.0
_FOLDER: Final = ".tune-{fence}"
_SLOTS: Final = "slots"
_ENVIRONMENT: Final = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_WARN_SLOW_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "1000000",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}


@final
@dataclass(frozen=True)
class Actors:
    """What trials run in.

    Attributes:
        placement: trials at a time, and what each gets.
        environment: variables that their processes are started with.
        timeout_s: `cluster.collective_timeout_s`, by which it is told that one hangs.
        line: what holds room for the first trial; None: there is room.
    """

    placement: Placement
    environment: Mapping[str, str]
    timeout_s: float
    line: Line | None = None


def run_search(  # noqa: PLR0913 - what a search needs of its driver
    course: Course,
    run: Callable[[dict[str, Any]], None],
    prepare: Callable[[Work], Path],
    actors: Actors,
    run_dir: Path,
    *,
    fence: int,
    on_event: Callable[[], None],
) -> None:
    """Run a search until it is over.

    Ctrl-C lets the running trials save their state first; a second one leaves at once. Variables
    that Ray Tune reads are set in this process, and stay.

    Args:
        course: what to do; nothing else may use it meanwhile.
        run: runs trials in an actor, given its slot and the first work: see `trial.run_slot`.
        prepare: makes a trial's folder ready for work, and returns it.
        actors: what trials run in.
        run_dir: the sweep's folder, without leftovers.
        fence: the driver's fencing number.
        on_event: called, from another thread, whenever the search has changed.

    Raises:
        CheckpointError: another driver has taken the sweep over.
        KeyboardInterrupt: interrupted; what runs has saved its state.
    """
    os.environ.update(_ENVIRONMENT)
    stop, folder = run_dir / STOP_FILE, run_dir / _FOLDER.format(fence=fence)
    done: Future[None] = Future()

    def fit() -> None:
        try:
            node = node_of_process()
            slots = Slots(course, prepare, actors.placement, folder / _SLOTS, on_event, node)
            if slots.ask_ahead():  # Tune fails where it is given no slot at all
                with (
                    actors_started_with(actors.environment),
                    watching_for_hangs(slots.running, actors.timeout_s),
                ):
                    _fit(slots, run, actors, folder)
            _check_end(slots)
            done.set_result(None)
        except BaseException as error:  # raised where it is waited for
            done.set_exception(error)

    threading.Thread(target=fit, name="ray-tune", daemon=True).start()
    try:
        _wait(done, run_dir, fence)
    except KeyboardInterrupt:
        lease.check_patiently(run_dir, fence)
        course.interrupt()
        stop.touch()
        _wait(done, run_dir, fence)
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        # Else it is another driver's by now; that of a store has a folder of its own.
        if link_of(run_dir) is not None or lease.is_held(run_dir, fence):
            stop.unlink(missing_ok=True)


def clear_leftovers(run_dir: Path) -> None:
    """Remove what a killed driver left in a sweep's folder; none runs any more."""
    for leftover in run_dir.glob(_FOLDER.format(fence="*")):
        shutil.rmtree(leftover, ignore_errors=True)
    (run_dir / STOP_FILE).unlink(missing_ok=True)


def _wait(done: "Future[None]", run_dir: Path, fence: int) -> None:
    while not wait([done], timeout=LEASE_LOOK_S).done:
        lease.check_patiently(run_dir, fence)
    done.result()


def _fit(slots: Slots, run: Callable[[dict[str, Any]], None], actors: Actors, folder: Path) -> None:
    from ray import tune

    placement = actors.placement
    resources = {"CPU": placement.cpu} | ({"GPU": placement.gpu} if placement.gpu else {})
    tuner = tune.Tuner(
        tune.with_resources(run, tune.PlacementGroupFactory([resources] * placement.group_size)),
        tune_config=tune.TuneConfig(
            search_alg=_searcher(slots),
            scheduler=_scheduler(slots, actors.line),
            num_samples=-1,
            reuse_actors=True,
            max_concurrent_trials=placement.num_groups,
        ),
        run_config=tune.RunConfig(name="actors", storage_path=str(folder), verbose=0),
    )
    with _silent():
        tuner.fit()


def _check_end(slots: Slots) -> None:
    """Raise what went wrong in the slots."""
    if slots.error is not None:
        raise slots.error
    if not slots.is_over:
        raise TrainError(
            "Ray Tune ended before the search did",
            where="the driver of the search",
            expected="a search that is over",
            mend="Go on with it: distrain resume",
        )


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep Tune from telling of trials that failed: the search does, in its own words."""
    logger = logging.getLogger("ray.tune")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def _searcher(slots: Slots) -> Any:
    """Return the search as a searcher of Tune's."""
    from ray.tune.search import Searcher

    class Proposer(_Stays, Searcher):
        """Opens slots."""

        def suggest(self, trial_id: str) -> Any:
            """Return a slot's first work, None where there is none now."""
            config = slots.open(trial_id)
            if config is None:
                return Searcher.FINISHED if slots.is_over else None
            return config

        def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
            """Do nothing: the scheduler has told."""

        def save(self, checkpoint_path: str) -> None:
            """Do nothing: the event log has all of it."""

        def restore(self, checkpoint_path: str) -> None:
            """Do nothing: the event log has all of it."""

    return Proposer(metric="-", mode="min")


def _scheduler(slots: Slots, line: Line | None) -> Any:
    """Return the search as a scheduler of Tune's."""
    from ray.tune.schedulers import FIFOScheduler

    class Judge(_Stays, FIFOScheduler):
        """Passes results on, and stops slots that there is no work for."""

        def choose_trial_to_run(self, controller: Any) -> Any:
            """Look for slots that have failed unseen, or have no place yet; then as Tune does.

            Once there is nothing more to do, slots that wait for room are given up, unless there is
            an actor that ends what they would do.
            """
            trials, actors = controller.get_trials(), controller._actor_manager
            group = line.hand_over() if line is not None and trials else None
            if group is not None:
                _place_first_in(group, actors._resource_manager)
            slots.look_for_room(actors.num_pending_actors)
            slots.look_for_dead([t.trial_id for t in trials if t.status == t.ERROR])
            if slots.is_over and not actors.num_live_actors:
                controller.request_stop_experiment()
            return super().choose_trial_to_run(controller)

        def on_trial_result(self, _controller: Any, trial: Any, result: Any) -> str:
            """Return whether a slot goes on."""
            goes_on = slots.take(trial.trial_id, *result["told"])
            return str(self.CONTINUE if goes_on else self.STOP)

        def on_trial_error(self, _controller: Any, trial: Any) -> None:
            """Tell of a slot that died."""
            slots.take_death(trial.trial_id, str(trial.get_error() or "it died"))

        def on_trial_remove(self, _controller: Any, trial: Any) -> None:
            """Tell of a slot that is gone."""
            slots.take_death(trial.trial_id, "it was removed")

    return Judge()  # type: ignore[no-untyped-call]  # Ray's


def _place_first_in(group: Any, manager: Any) -> None:
    """Have Tune place its first actor in a placement group that is there; it removes it, too.

    Args:
        group: made of the bundles that Tune would ask for.
        manager: Tune's own, which asks for them; not Ray's public interface (Ray 2.60.0).
    """
    from ray.tune import PlacementGroupFactory

    class Held(PlacementGroupFactory):
        """Stands for the factory of the first actor, to which it is equal."""

        def to_placement_group(self) -> Any:
            """Return the one that is there."""
            return group

    request = manager.request_resources

    def first_request(resource_request: Any) -> None:
        manager.request_resources = request
        request(Held(resource_request.bundles, strategy=resource_request.strategy))

    manager.request_resources = first_request


class _Stays:
    """What stays in this process: Tune copies and pickles what it is given, for a restore."""

    def __deepcopy__(self, _memo: Any) -> Self:
        return self

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, ("the event log has all of it",)
