"""Every bad search that a user may ask for: told with file and line before any trial, or Ray."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.bad_cases import CONFIG, Case, assert_told, fill, run, search
from tests.command_line import run_in_process

LINE, NEXT = "run.yaml:3: ", "run.yaml:4: "


def space(key: str, domain: str, *parts: str) -> Case:
    """An entry of a space that is at fault."""
    first, *others = parts
    return search(f"space: {{{key}: {domain}}}", f"{LINE}tune.space.{key}{first}", *others)


def beside(text: str, *parts: str, words: tuple[str, ...] = ()) -> Case:
    """What stands beside a space that is right, and is at fault."""
    first, *others = parts
    return search(
        f"space: {{model.dropout: {{uniform: [0, 0.5]}}}}\n{text}",
        f"{NEXT}tune.{first}",
        *others,
        words=words,
    )


SPACES = {
    "no section": Case((), ("there is no section tune", "Add for example: tune: {space:")),
    "no space": search("num_trials: 3", "run.yaml:2: tune.space is missing"),
    "empty space": search("space: {}", f"{LINE}tune.space is empty", "would be the same"),
    "list for a space": search("space: [model.dropout]", f"{LINE}tune.space is a list"),
    "path that is not there": space(
        "model.dropuot", "{uniform: [0, 0.5]}", ": the configuration has no key 'model.dropuot'. "
        "Did you mean 'model.dropout'?",
    ),
    "path with a section that is not there": space(
        "train.optimizr.lr", "{uniform: [0, 1]}", ": ", "Did you mean 'train.optimizer.lr'?"
    ),
    "path without its section": space(
        "lr", "{uniform: [0, 1]}", ": the configuration has no key 'lr'. Did you mean 'train.opt"
    ),
    "storage": space(
        "storage", "{choice: [a, b]}", ": storage cannot vary between trials: it changes no",
        "Expected a key below model or train, or seed. Set storage for all of them, outside tune",
    ),
    "name": space("name", "{choice: [a, b]}", ": name cannot vary between trials"),
    "data": space(
        "data.clean.missing", "{choice: [impute, drop]}", ": ", "all trials share one prepared"
    ),
    "the search itself": space("tune.num_trials", "{choice: [3, 4]}", ": ", "the search itself"),
    "mapping of sections": search(
        "space:\n  model:\n    dropout: {uniform: [0, 0.5]}",
        "run.yaml:5: tune.space.model.dropout: unknown key. Did you mean 'model.dropout'?",
    ),
    "bounds reversed": space(
        "train.optimizer.lr", "{loguniform: [1e-1, 1e-4]}",
        ".loguniform = [0.1, 0.0001] has its bounds the wrong way round. Write [0.0001, 0.1]",
    ),
    "whole bounds reversed": space("seed", "{randint: [9, 3]}", ".randint", "Write [3, 9]"),
    "bounds with a step reversed": space(
        "model.dropout", "{quniform: [0.5, 0, 0.1]}", ".quniform", "Write [0, 0.5, ...]"
    ),
    "bounds that meet": space("seed", "{randint: [3, 3]}", ".randint = [3, 3] holds nothing that"),
    "logarithm of zero": space(
        "train.optimizer.lr", "{loguniform: [0, 1e-1]}",
        ".loguniform = [0, 0.1] has no logarithm at 0. Expected bounds above 0. Begin above 0, or "
        "use uniform",
    ),
    "logarithm of less": space(
        "train.optimizer.weight_decay", "{loguniform: [-1, 1e-1]}", ".loguniform", "at -1"
    ),
    "logarithm of the whole number zero": space(
        "seed", "{lograndint: [0, 10]}", ".lograndint", "or use randint"
    ),
    "nan for a bound": space("model.dropout", "{uniform: [0, .nan]}", ".uniform[1] is nan"),
    "infinite bound": space("train.optimizer.lr", "{uniform: [1, .inf]}", ".uniform[1] is inf"),
    "nan for a mean": space("train.optimizer.lr", "{normal: [.nan, 1]}", ".normal[0] is nan"),
    "nan for a choice": space(
        "train.optimizer.lr", "{choice: [1e-4, .nan]}", ".choice[1]: train.optimizer.lr is nan"
    ),
    "no spread": space("model.dropout", "{normal: [0.1, 0]}", ".normal", "has no spread"),
    "empty choice": space("model.dropout", "{choice: []}", ".choice has no values", "at least one"),
    "empty grid": space("model.dropout", "{grid: []}", ".grid has no values"),
    "value given twice": space("seed", "{choice: [1, 2, 1]}", ".choice has 1 2 times"),
    "value that is none": space(
        "model.dropout", "{uniform: [0, 1.5]}", ".uniform[1]: model.dropout is 1.5. Expected a"
    ),
    "kind that is none": space(
        "model.dropout", "{unifrom: [0, 0.5]}", ".unifrom: unknown key. Did you mean 'uniform'?"
    ),
    "two kinds": space("seed", "{choice: [1], grid: [2]}", " is choice and grid at once"),
    "no kind": space("seed", "{}", " does not say what values it takes"),
    "value for a domain": space("model.dropout", "0.5", " is 0.5. Expected a mapping of choice,"),
    "list for a domain": space(
        "model.dropout", "[0.1, 0.5]", " is a list. Expected a mapping of choice,"
    ),
    "text for bounds": space("model.dropout", "{uniform: [a, b]}", ".uniform[0] is text 'a'"),
    "one bound": space("model.dropout", "{uniform: [1]}", ".uniform", "Expected a list of 2"),
    "half a whole number": space("seed", "{randint: [0.5, 3]}", ".randint[0] is 0.5"),
    "condition on nothing": space(
        "model.dropout", "{uniform: [0, 0.5], when: {model.nmae: mlp}}",
        ".when: the configuration has no key 'model.nmae'. Did you mean 'model.name'?",
    ),
    "condition that is none": space(
        "model.dropout", "{uniform: [0, 0.5], when: cnn}", ".when is text 'cnn'"
    ),
    "condition that is never met": space(
        "model.dropout", "{uniform: [0, 0.5], when: {train.epochs: 3}}",
        ".when: train.epochs = 3 is never met. train.epochs is 20 in all trials: let it vary, too",
    ),
    "condition on itself": space("seed", "{choice: [1, 2], when: {seed: 1}}", ".when", "on itself"),
    "secret": search(
        "space: {model.args.password: {choice: [hunter22abcdef, b]}}",
        f"{LINE}tune.space.model.args.password.choice[0]: ",
        "looks like a secret",
        words=("model={target: 'net:Net'}",),
    ),
}  # fmt: skip

SEARCHES = {
    "unknown scheduler": beside(
        "scheduler: ahsa", "scheduler.name is text 'ahsa'. Did you mean 'asha'? Valid names: asha,"
    ),
    "scheduler without a name": beside(
        "scheduler: {grace_period: 2}", "scheduler.name is missing. Valid names: asha, hyperband,"
    ),
    "unknown key of a scheduler": beside(
        "scheduler: {name: asha, grace: 2}", "scheduler.grace: unknown key for asha. Valid keys"
    ),
    "unknown time": beside(
        "scheduler: {name: asha, time_attr: report}",
        "scheduler.time_attr is text 'report'. Expected one of epoch, step",
    ),
    "factor that keeps all": beside(
        "scheduler: {name: sha, reduction_factor: 1}", "scheduler.reduction_factor is 1. Expected"
    ),
    "grace that is all": beside(
        "scheduler: {name: sha, grace_period: 50}",
        "scheduler.grace_period = 50 is not less than train.epochs = 20",
    ),
    "scheduler on a metric that is never reported": search(
        "space: {model.dropout: {uniform: [0, 0.5]}}\nscheduler: asha\nmetric: validation/acuracy",
        "run.yaml:5: tune.metric = 'validation/acuracy' will not be computed. Did you mean "
        "'validation/accuracy'? Valid metrics: train/loss, ",
    ),
    "metric without a split": beside("metric: accuracy", "metric", "'validation/accuracy'?"),
    "metric of the test split": beside(
        "metric: test/accuracy", "metric = 'test/accuracy' would let the test split steer",
        "Use 'validation/accuracy'",
    ),
    "metric of a split that is not there": beside(
        "metric: validation/accuracy", "metric = 'validation/accuracy' needs a validation split",
        words=("data.split.validation=0",),
    ),
    "metric of another task": beside(
        "metric: validation/rmse", "metric = 'validation/rmse' will not be computed", "rmse is not",
        words=("data.task=classification",),
    ),
    "unknown mode": beside("mode: maximize", "mode is text 'maximize'. Expected one of min, max"),
    "mode that turns the metric round": beside("mode: max", "mode = max turns validation/loss"),
    "no epochs to spend": beside("budget: {epochs: 0}", "budget.epochs is 0. Expected a whole"),
    "less than no time": beside("budget: {wall_s: -1}", "budget.wall_s is -1. Expected a number"),
    "number for a budget": beside("budget: 100", "budget is 100. Expected a mapping of epochs,"),
    "unknown budget": beside("budget: {epoch: 9}", "budget.epoch: unknown key. Did you mean 'ep"),
    "no trials": beside("num_trials: 0", "num_trials is 0. Expected a whole number of at least 1"),
    "part of a trial": beside("num_trials: 2.5", "num_trials is 2.5. Expected a whole number"),
    "Ray Tune's name for trials": beside("num_samples: 9", "num_samples", "mean 'num_trials'?"),
    "unknown algorithm": beside(
        "search_alg: tpee", "search_alg.name is text 'tpee'. Did you mean 'tpe'? Valid names: cma"
    ),
    "grid of ranges": search(
        "space: {model.dropout: {uniform: [0, 0.5]}}\nsearch_alg: grid",
        f"{LINE}tune.space.model.dropout.uniform has no points that search_alg = grid could go",
    ),
    "grid with more trials than points": search(
        "space: {seed: {grid: [1, 2]}}\nsearch_alg: grid\nnum_trials: 7",
        "run.yaml:5: tune.num_trials = 7 is more than the 2 points of the grid",
    ),
    "numbers to move where there are choices alone": search(
        "space: {seed: {choice: [1, 2]}}\nsearch_alg: cmaes",
        f"{NEXT}tune.search_alg = cmaes moves numbers, and the space has choices only. Use tpe",
    ),
    "constraint on nothing": beside(
        "constraints: ['train.epoch > 3']", "constraints[0]: ", "no key 'train.epoch'", "epochs'?"
    ),
    "text for constraints": beside(
        "constraints: train.epochs > 3", "constraints is text", "brackets: [train.epochs > 3]"
    ),
    "constraint that never holds": beside(
        "constraints: ['model.dropout > 0.9']", "constraints[0]: ", "held in none of 200 trials"
    ),
    "first point outside": beside(
        "start_from: [{model.dropout: 0.9}]", "start_from[0]: model.dropout = 0.9 is not in its"
    ),
    "no trial at a time": beside("max_concurrent: 0", "max_concurrent is 0. Expected a whole"),
    "word for a number of trials": beside("max_concurrent: many", "max_concurrent is text 'many'"),
    "all at once": search(
        "space:\n  model.dropuot: {uniform: [0, 0.5]}\n  seed: {randint: [9, 3]}\nscheduler: ahsa\n"
        "num_trials: 0",
        "run.yaml:4: tune.space.model.dropuot: ",
        "run.yaml:5: tune.space.seed.randint",
        "run.yaml:6: tune.scheduler.name is text 'ahsa'",
        "run.yaml:7: tune.num_trials is 0",
    ),
}  # fmt: skip

# What depends on the machine, which has no line in a file.
GOOD = "space: {model.dropout: {uniform: [0, 0.5]}}"
PLACES = {
    "more trials than a local Ray takes": search(
        f"{GOOD}\nmax_concurrent: 500",
        "tune.max_concurrent: 500 trials with 1 CPU each do not fit on a local Ray, which takes 16",
        "Use fewer, `max_concurrent: auto`, or less of train.resources_per_worker",
    ),
    "GPU-hours without a GPU": search(
        f"{GOOD}\nbudget: {{gpu_hours: 2}}",
        "tune.budget.gpu_hours: 2 GPU-hours would never be spent: trials have none",
    ),
    "GPU that is not there": search(
        GOOD, "1 GPUs for each worker, but this machine has 0",
        words=("train.resources_per_worker.gpu=1",),
    ),
    "shares of a model": search(
        GOOD,
        "train.strategy = fsdp, but every worker of a trial holds the model whole",
        words=("train.strategy=fsdp",),
    ),
}  # fmt: skip
ON_A_CLUSTER = search(
    f"{GOOD}\nmax_concurrent: 5",
    "tune.max_concurrent: 5 trials with 1 CPU each do not fit on the cluster, whose 1 nodes take 4",
)
# Whether `income` is classes is known only once the data was read.
OF_NO_TASK = search(
    f"{GOOD}\nmetric: validation/rmse",
    "tune.metric: 'validation/rmse' is not computed",
    "Computed: train/loss, validation/accuracy, ",
)


def table(*tables: Mapping[str, Case]) -> list[Any]:
    return [pytest.param(case, id=name) for one in tables for name, case in one.items()]


@pytest.fixture
def no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a command that starts Ray fail in a way that nothing expects."""

    def start(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("Ray was started")

    monkeypatch.setattr("distrain.workplace.ray_session", start)
    monkeypatch.setattr("distrain.workplace.is_connected", lambda: False)
    monkeypatch.setattr("distrain.workplace._num_local_gpus", lambda: 0)


@pytest.mark.usefixtures("no_ray")
@pytest.mark.parametrize("case", table(SPACES, SEARCHES, PLACES))
def test_a_bad_search_is_told_before_ray_starts_and_leaves_nothing(
    case: Case, tmp_path: Path
) -> None:
    ended = run(tmp_path, case, "tune")

    assert_told(ended, case)
    assert ended.left == []


@pytest.mark.usefixtures("no_ray")
@pytest.mark.parametrize("case", table(PLACES), ids=str)
def test_a_dry_run_tells_what_the_machine_cannot(case: Case, tmp_path: Path) -> None:
    fill(tmp_path, case)

    ended = run_in_process(["tune", "run.yaml", *case.words, "--dry-run", "--json"], tmp_path)

    assert_told(ended, case)
    assert ended.left == []


@pytest.mark.slow
@pytest.mark.usefixtures("ray_local")
def test_more_trials_than_the_cluster_takes_are_told_before_any_begins(tmp_path: Path) -> None:
    ended = run(tmp_path, ON_A_CLUSTER, "tune")

    assert_told(ended, ON_A_CLUSTER)
    assert ended.left == []


@pytest.mark.slow
@pytest.mark.usefixtures("ray_local")
def test_a_metric_that_the_data_has_no_use_for_is_told_before_any_trial(tmp_path: Path) -> None:
    ended = run(tmp_path, OF_NO_TASK, "tune")

    assert_told(ended, OF_NO_TASK)
    assert not list(tmp_path.glob("runs/run/*"))


@pytest.mark.usefixtures("no_ray")
def test_the_configuration_that_all_these_are_made_of_is_right(tmp_path: Path) -> None:
    good = search(GOOD)
    fill(tmp_path, good)
    assert CONFIG in good.files["run.yaml"]  # type: ignore[operator]

    ended = run_in_process(["train", "run.yaml", "--dry-run"], tmp_path)

    assert ended.code == 0, ended.stderr
    assert ended.left == []
