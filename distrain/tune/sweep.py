"""The driver of a search: settings and a prepared dataset -> trials on Ray Tune -> what won.

In: the sweep's settings, its dataset, and what its event log holds already. Out: the search, at its
end. Each trial has the settings that `distrain train` would have with its values, and the job that
those give; only the test split is left alone. What can no longer win is removed at once.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

from distrain import lease
from distrain.config.settings import Settings
from distrain.data.prepared import PreparedDataset
from distrain.object_store.files import TRIALS
from distrain.object_store.link import link_of
from distrain.run_folder import JOURNAL
from distrain.track.trials import kind_of
from distrain.train.from_settings import job_from_settings
from distrain.train.gauges import labels_of
from distrain.train.line import Line
from distrain.train.placement import Placement
from distrain.train.taken_over import take_over
from distrain.train.worker_environment import part_environment
from distrain.tune.budget import Budget
from distrain.tune.cleaner import Cleaner, folder_name
from distrain.tune.course import Afterwards, Course
from distrain.tune.earlier import EVENT, Earlier, opened_earlier, read_earlier
from distrain.tune.events import EventLog, EventWriter, read_events, writing_events
from distrain.tune.exploring import build_explorer
from distrain.tune.hangs import LAST_WORD
from distrain.tune.host import JOB_FILE, search_at_store
from distrain.tune.on_ray import Actors, clear_leftovers, run_search
from distrain.tune.places import TrialPlaces, trial_places
from distrain.tune.plan import SearchPlan
from distrain.tune.schedulers import time_attr
from distrain.tune.search import Search
from distrain.tune.seeds import trial_sampler, trial_scheduler
from distrain.tune.space import Space
from distrain.tune.trial import run_slot
from distrain.tune.trials import Work


@final
@dataclass(frozen=True)
class Sweep:
    """A search that is ready: all that its trials share.

    Args:
        settings: the sweep's.
        space: what varies in them.
        dataset: what is trained on.
        run_dir: the sweep's folder.
        placement: trials at a time, and what each gets.
        import_paths: folders that the user's code is imported from.
        fence: the driver's fencing number.
        line: what holds room for the first trial; None: there is room.
    """

    settings: Settings
    space: Space
    dataset: PreparedDataset
    run_dir: Path
    placement: Placement
    import_paths: list[str]
    fence: int
    line: Line | None = None

    def search(self, on_change: Callable[[Course], None], on_note: Callable[[str], None]) -> Course:
        """Search to the end, or on from what the event log holds, with what comes after it.

        Args:
            on_change: told where it is whenever something has happened; from another thread.
            on_note: told what the user should know.

        Raises:
            TrainError: the trials' failures are of one cause, or the metric is not measured.
            CheckpointError: another driver has taken the sweep over.
            KeyboardInterrupt: interrupted; what runs has saved its state.
        """
        folder = self.run_dir / JOURNAL
        with (
            writing_events(folder, lambda: lease.is_held(self.run_dir, self.fence)) as log,
            trial_places(self.run_dir) as places,
        ):
            earlier = self._earlier(log, on_note)
            search = new_search(self.settings, self.space, log, earlier, gpus=self._gpus)
            course = Course(search, log, afterwards(self.settings))
            course.replay(event for event in read_events(folder) if event["event"] != EVENT)
            course.begin()
            cleaner = Cleaner(self.run_dir / TRIALS, course, places)

            def prepare(work: Work) -> Path:
                self._check_still_ours()
                cleaner.begin(work.trial)
                self._take_over(search, places, log)
                if places is not None:
                    num_taken = self.num_taken(search, work.trial)
                    places.begin(self.folder_of(work.trial), work.attempt, num_taken)
                return self._prepare(work, course.trial(work.trial).assignment)

            def changed() -> None:
                self._check_still_ours()
                log.flush()  # no actor is answered before, and nothing is removed
                cleaner.clear()
                on_change(course)

            changed()
            clear_leftovers(self.run_dir)  # also where the search is over, and no other comes
            if not course.is_over:
                told, common = self._common()

                def run(config: dict[str, Any]) -> None:
                    run_slot(common, config)

                run_search(
                    course,
                    run,
                    prepare,
                    Actors(self.placement, told, common["collective_timeout_s"], self.line),
                    self.run_dir,
                    fence=self.fence,
                    on_event=changed,
                )
            if self.line is not None:
                self.line.release()  # no trial has taken it over, and the winner needs the room
            cleaner.finish()
        if search.cause is not None:
            raise search.cause
        return course

    def note_winner(self, trial: int) -> None:
        """Log which trial won; once."""
        folder = self.run_dir / JOURNAL
        won = [event["trial"] for event in read_events(folder) if event["event"] == "won"]
        if won[-1:] == [trial]:
            return
        with writing_events(folder, lambda: lease.is_held(self.run_dir, self.fence)) as log:
            log.add("won", trial=trial)

    def settings_of(self, assignment: Mapping[str, Any]) -> Settings:
        """Return the settings of a trial, as `distrain train` would have them."""
        return self.space.settings_of(self.settings, assignment)

    def folder_of(self, trial: int) -> Path:
        """Return a trial's folder; one that is audited goes on in its own."""
        return self.run_dir / TRIALS / folder_name(trial)

    def num_taken(self, search: Search, number: int) -> int:
        """Return how often a trial has taken over the state of another."""
        kind, of_trial, _ = kind_of(number)
        if kind == "confirm":
            return 0
        return search.trials[of_trial].num_taken

    def _check_still_ours(self) -> None:
        """Return where this driver still drives the sweep; at a store `run_search` looks."""
        if link_of(self.run_dir) is None:
            lease.check(self.run_dir, self.fence)

    def _earlier(self, log: EventLog, on_note: Callable[[str], None]) -> Earlier:
        """Return what is taken over from an earlier search: as logged, or read and logged now."""
        first = next(iter(read_events(self.run_dir / JOURNAL)), None)
        if first is not None:
            return Earlier.of_event(first) if first["event"] == EVENT else Earlier()
        link = link_of(self.run_dir)
        storage = self.run_dir.parent.parent if link is None else Path(link.storage.uri)
        with opened_earlier(self.settings, storage) as found:
            if found is None:
                return Earlier()
            earlier = read_earlier(found, self.settings, self.space)
        earlier.log(log)
        for text in earlier.notes:
            on_note(text)
        return earlier

    def _take_over(self, search: Search, places: TrialPlaces | None, log: EventWriter) -> None:
        """Give trials the states that they go on from; before those whose they are go on."""
        if search.plan.explorer is None:
            return
        for trial in search.trials:
            if trial.taken is None or trial.has_ended:
                continue
            source, step, num_taken = trial.taken
            if places is not None:
                log.flush()
                lease.check_patiently(self.run_dir, self.fence)  # else the verdict did not count
                own, other = self.folder_of(trial.number), self.folder_of(source)
                places.take_over(own, trial.num_taken, (other, num_taken), step)
                trial.taken = None
                continue
            settings = self.settings_of(trial.assignment)
            job = job_from_settings(settings, self.dataset, self.folder_of(trial.number))
            take_over(job, step, self.folder_of(source))
            trial.taken = None

    def _prepare(self, work: Work, assignment: Mapping[str, Any]) -> Path:
        """Make a trial's folder ready for an attempt at it."""
        folder = self.folder_of(work.trial)
        if link_of(folder) is None:  # else who begins it there claims it
            lease.grant(folder, self.fence, work.attempt)
        (folder / LAST_WORD).unlink(missing_ok=True)
        job = job_from_settings(self.settings_of(assignment), self.dataset, folder)
        of_trial = replace(
            job,
            is_trial=True,
            # train/loss with each evaluation: it may be what decides.
            record_every_steps=job.evaluate_every_steps,
            system_metrics_every_s=None,
            checkpoint_keep=1,
            profile=False,
            fence=self.fence,
            attempt=work.attempt,
        )
        (folder / JOB_FILE).write_text(json.dumps(of_trial.to_json()), encoding="utf-8")
        return folder

    @property
    def _gpus(self) -> float:
        """Return the GPUs of each trial."""
        return self.placement.gpu * self.placement.group_size

    def _common(self) -> tuple[dict[str, str], dict[str, Any]]:
        """Return the variables that actors start with, and what all trials have in common."""
        model = self.settings.model.model_dump()
        told, own = part_environment(self.settings.cluster.env, model.get("args") or {})
        assert self.settings.tune is not None
        return told, {
            "import_paths": self.import_paths,
            # An actor whose trial still saves its state is waited for, not thrown away.
            "environment": {**own, "TUNE_FUNCTION_THREAD_TIMEOUT_S": "600"},
            "num_workers": self.placement.group_size,
            "cpu": self.placement.cpu,
            "gpu": self.placement.gpu,
            "reserved": self.placement.group_text,
            "has_gpu": self.placement.gpu > 0,
            "backend": self.placement.collective_backend,
            "collective_timeout_s": self.settings.cluster.collective_timeout_s,
            "by_epoch": time_attr(self.settings) == "epoch",
            "sweep_dir": str(self.run_dir),
            "store": search_at_store(self.run_dir),
            "labels": labels_of(self.run_dir),
        }


def new_search(
    settings: Settings,
    space: Space,
    log: EventLog,
    earlier: Earlier | None = None,
    *,
    gpus: float = 0.0,
) -> Search:
    """Return the search that settings ask for, before anything has happened.

    Args:
        settings: with a `tune` section.
        space: what varies.
        log: where its events go.
        earlier: what is taken over from an earlier search; None: nothing.
        gpus: of each trial.
    """
    tune = settings.tune
    assert tune is not None
    assert tune.num_trials is not None
    assert tune.mode is not None
    plan = SearchPlan(
        num_trials=tune.num_trials,
        metric=tune.metric,
        mode=tune.mode,
        sampler=trial_sampler(settings, space, earlier),
        scheduler=trial_scheduler(settings, tune.num_trials),
        budget=Budget(tune.budget.wall_s, tune.budget.epochs, tune.budget.gpu_hours),
        gpus_per_trial=gpus,
        max_losses=settings.train.max_failures,
        explorer=build_explorer(settings, space),
        num_seeds=tune.num_seeds,
    )
    return Search(plan, log)


def afterwards(settings: Settings) -> Afterwards:
    """Return what comes after the search that settings ask for."""
    assert settings.tune is not None
    tune = settings.tune
    return Afterwards(settings.seed, tune.confirm or 0, tune.audit_fraction or 0.0, tune.num_seeds)
