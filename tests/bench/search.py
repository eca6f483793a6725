"""What a trial costs beside its training: distrain, Ray Tune as it comes, Optuna.

    python -m tests.bench.search [--trials 100 1000] [--most 10000] [--alone] [--out FILE]

A trial is a function that reports once and ends, two at a time, so that all of the wall time is
orchestration: (wall x slots - seconds inside trials) / trials, from the first report on, until
all results are durable. distrain makes each trial's folder and job, and logs every event; Ray Tune
runs with and without `reuse_actors`, with its own loggers and with its MLflow callback (SQLite);
Optuna runs in one process, with no processes of its own. Memory is the driver's growth for a trial.
"""

import argparse
import json
import os
import resource
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from distrain import lease
from distrain.config.load import settings_from_dict
from distrain.ray_session import ray_session
from distrain.run_folder import JOURNAL
from distrain.train.placement import Placement
from distrain.tune.course import Afterwards, Course
from distrain.tune.events import read_events, writing_events
from distrain.tune.host import JOB_FILE, processes_folder, search_at_store
from distrain.tune.on_ray import Actors, run_search
from distrain.tune.places import trial_places
from distrain.tune.reporter import Channel, ClosedError
from distrain.tune.space import Space
from distrain.tune.sweep import new_search
from distrain.tune.trials import Work

NUM_SLOTS = 2
METRIC = "validation/loss"


def instant(common: Mapping[str, Any], config: dict[str, Any]) -> None:
    """Report once and end, one trial after the other, as `trial.run_slot` does."""
    try:
        with processes_folder(common) as here:
            channel = Channel(Path(config["slot"]), here)
            work = here.first_work(Path(config["slot"]), config["work"])
            while True:
                work = _report(channel, work)
    except ClosedError:
        raise SystemExit from None


def _report(channel: Channel, work: Mapping[str, Any]) -> dict[str, Any]:
    values = {METRIC: float(work["attempt"])}
    with channel.here.trial(work, 0):
        report = {"time": 1, "epoch": 1, "step": 1, "values": values, "train_s": 0.0}
        channel.tell("report", report)
    ended = {"outcome": "finished", "step": 1, "epoch": 1, "metrics": values}
    next_work: dict[str, Any] = channel.tell("ended", {**ended, "train_s": 0.0})["work"]
    return next_work


def of_distrain(num_trials: int, folder: Path) -> dict[str, float]:
    """Return the cost of a trial of a search of `num_trials`; at a store, where one is linked."""
    settings = settings_from_dict(
        {
            "data": {"source": "sklearn:digits", "target": "target"},
            "train": {"epochs": 1},
            "tune": {
                "num_trials": num_trials,
                "space": {"train.optimizer.lr": {"loguniform": [1e-4, 1e-1]}},
            },
        }
    )
    space = Space.of(settings)
    job = json.dumps(space.settings_of(settings, {}).model_dump(mode="json", by_alias=True))
    held = lease.take(folder)
    before = _rss_kib()
    with (
        writing_events(folder / JOURNAL, lambda: True) as log,
        trial_places(folder) as places,
    ):
        search = new_search(settings, space, log)
        course = Course(search, log, Afterwards())
        course.begin()

        def prepare(work: Work) -> Path:
            trial = folder / "trials" / f"{work.trial:05d}"
            space.settings_of(settings, search.trials[work.trial].assignment)
            if places is None:
                lease.grant(trial, held.fence, work.attempt)
            else:
                places.begin(trial, work.attempt, 0)
            (trial / JOB_FILE).write_text(job)
            return trial

        actors = Actors(Placement(NUM_SLOTS, 1.0, 0.0), {}, timeout_s=60.0)
        common = {"sweep_dir": str(folder), "store": search_at_store(folder)}
        run = partial(instant, common)
        run_search(course, run, prepare, actors, folder, fence=held.fence, on_event=log.flush)
    assert len([t for t in search.trials if t.outcome == "finished"]) == num_trials
    times = [event["time_ms"] for event in read_events(folder / JOURNAL)]
    started = next(e["time_ms"] for e in read_events(folder / JOURNAL) if e["event"] == "reported")
    halves = _halves(folder)
    return {
        "ms": NUM_SLOTS * (times[-1] - started) / num_trials,
        "first_half_ms": halves[0],
        "second_half_ms": halves[1],
        "kib": (_rss_kib() - before) / num_trials,
    }


def _halves(folder: Path) -> tuple[float, float]:
    """Return the cost of a trial in the first and in the second half of a search."""
    ends = [e["time_ms"] for e in read_events(folder / JOURNAL) if e["event"] == "ended"]
    half = len(ends) // 2
    return (
        NUM_SLOTS * (ends[half] - ends[0]) / half,
        NUM_SLOTS * (ends[-1] - ends[half]) / (len(ends) - half),
    )


def of_tune(num_trials: int, folder: Path, *, reuse: bool, mlflow: bool) -> dict[str, float]:
    """Return the cost of a trial of Ray Tune's own, as its documentation has it."""
    from ray import tune
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    started: list[float] = []

    class Clock(tune.Callback):  # type: ignore[misc]  # Ray has no types
        def on_trial_result(self, *_args: Any, **_kwargs: Any) -> None:
            started.append(time.perf_counter())

    def trainable(config: dict[str, Any]) -> None:
        tune.report({"loss": config["lr"]})

    uri = f"sqlite:///{folder}/mlflow.db"
    callback = MLflowLoggerCallback(tracking_uri=uri, experiment_name="bench") if mlflow else None
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        param_space={"lr": tune.loguniform(1e-4, 1e-1)},
        tune_config=tune.TuneConfig(
            num_samples=num_trials,
            reuse_actors=reuse,
            max_concurrent_trials=NUM_SLOTS,
            metric="loss",
            mode="min",
        ),
        run_config=tune.RunConfig(
            name="bench",
            storage_path=str(folder),
            verbose=0,
            callbacks=[Clock(), *([callback] if callback else [])],
        ),
    )
    before = _rss_kib()
    tuner.fit()
    took = time.perf_counter() - started[0]
    return {
        "ms": 1000 * NUM_SLOTS * took / num_trials,
        "kib": (_rss_kib() - before) / num_trials,
    }


def of_optuna(num_trials: int) -> dict[str, float]:
    """Return the cost of a trial of Optuna's, in memory and in this process."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(0))
    started = time.perf_counter()
    study.optimize(lambda trial: trial.suggest_float("lr", 1e-4, 1e-1, log=True), num_trials)
    return {"ms": 1000 * (time.perf_counter() - started) / num_trials}


def _rss_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--most", type=int, default=10_000)
    parser.add_argument("--fresh", type=int, default=20, help="trials with an actor each")
    parser.add_argument("--alone", action="store_true", help="distrain, and none of the others")
    parser.add_argument("--out", type=Path, default=None)
    asked = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    with ray_session("local", num_cpus=NUM_SLOTS + 1):

        def measure(name: str, run: Callable[[Path], dict[str, float]]) -> None:
            with tempfile.TemporaryDirectory(prefix="search-") as folder:
                found[name] = run(Path(folder))
            told = "  ".join(f"{key} {value:.2f}" for key, value in found[name].items())
            print(f"{name:36} {told}", flush=True)

        for count in [*asked.trials, *([asked.most] if asked.most else [])]:
            measure(f"distrain, {count} trials", lambda f, n=count: of_distrain(n, f))  # type: ignore[misc]
        if not asked.alone:
            _measure_others(measure, asked.trials, asked.fresh)
    if asked.out is not None:
        asked.out.write_text(json.dumps(found) + "\n", encoding="utf-8")
    print(json.dumps(found))


def _measure_others(
    measure: Callable[[str, Callable[[Path], dict[str, float]]], None],
    counts: Sequence[int],
    num_fresh: int,
) -> None:
    """Measure Ray Tune by itself, and Optuna."""
    for name in ("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "TUNE_GLOBAL_CHECKPOINT_S"):
        os.environ.pop(name, None)
    for count in counts:
        measure(
            f"Ray Tune, reuse, {count} trials",
            lambda f, n=count: of_tune(n, f, reuse=True, mlflow=False),  # type: ignore[misc]
        )
    few = counts[0]
    measure(
        f"Ray Tune, reuse, MLflow, {few} trials",
        lambda f: of_tune(few, f, reuse=True, mlflow=True),
    )
    measure(
        f"Ray Tune, {num_fresh} trials",
        lambda f: of_tune(num_fresh, f, reuse=False, mlflow=False),
    )
    measure("Optuna alone, 1000 trials", lambda _: of_optuna(1000))


if __name__ == "__main__":
    main()
