"""Who made the model and from what, how it is loaded, and what its limits are."""

import shlex
from collections.abc import Iterator
from pathlib import PurePath

from distrain.object_store.place import remote_text
from distrain.report.loading import loading_lines
from distrain.report.page.markup import Content, Markup, joined, tag
from distrain.report.page.parts import facts, note, to_paste
from distrain.report.page.shell import Section
from distrain.report.page.words import number_text
from distrain.report.run.view import RunView
from distrain.report.run.wrong import class_scores
from distrain.run_folder import DATABASE
from distrain.track.origin import JOB_TAG, SWEEP_TAG, TRIAL_TAG

_WEAK = 0.8
"""A class that is found this much less often than rows are right is worth a word."""
_ENOUGH_ROWS = 10


def card_section(run: RunView) -> Section:
    """Return the model's card: what it is for, how it is loaded, its limits."""
    limits = tag("ul", *(tag("li", text) for text in limits_of(run)))
    heads = [tag("h3", title) for title in ("To load it", "Limits")]
    content = joined([facts(list(_model(run))), heads[0], _loading(run), heads[1], limits])
    return Section("model", "The model", content)


def origin_section(run: RunView) -> Section:
    """Return who made the run, with what code and libraries, on which machine."""
    return Section("origin", "Where it comes from", facts(list(_origin(run))))


def limits_of(run: RunView) -> Iterator[str]:
    """Give what is not known of the model, or is known to be weak, in sentences."""
    splits = run.data.get("splits", {})
    tested = int(splits.get("test", {}).get("num_rows", 0))
    if run.result is None or not run.result.weights_sha256:
        yield "There is no final model yet."
    if not tested:
        yield "It was measured on no test split: the figures are of rows that chose it."
    elif tested < 1000:
        yield f"It was tested on {tested:,} rows: differences of a few of them mean little."
    yield from _weak_classes(run)
    numeric = [name for name, facts_ in run.data.get("profile", {}).items() if "low" in facts_]
    if numeric:
        yield (
            "It has seen numbers within the ranges that stand below Data, and nothing is known "
            "of others."
        )
    seed = run.setting("seed")
    yield f"It was trained once, with seed {seed}: how much another seed changes is not told here."
    given_up = run.story.tags.get("distrain.bits")
    if given_up:
        yield f"That it comes out the same, to the last bit, is {given_up}."


def _weak_classes(run: RunView) -> Iterator[str]:
    counts = run.story.assessments.get("test", {})
    if "classes" not in counts:
        return
    scores = class_scores(counts)
    rows = sum(score.actual for score in scores)
    share = sum(score.right for score in scores) / rows if rows else 0.0
    weak = [
        score
        for score in sorted(scores, key=lambda each: each.recall)
        if score.actual >= _ENOUGH_ROWS and score.recall < _WEAK * share
    ]
    for score in weak[:3]:
        missed = score.actual - score.right
        yield f"Of class {score.name} it misses {missed:,} of {score.actual:,} test rows."


def _model(run: RunView) -> Iterator[tuple[str, Content]]:
    result = run.result
    name = run.setting("model.name") or run.setting("model.target")
    parameters = run.metrics.get("model/num_parameters")
    size = f", {number_text(parameters)} parameters" if parameters is not None else ""
    yield "architecture", f"{name}{size}" if name else None
    target = run.setting("data.target")
    yield "predicts", ", ".join(target) if isinstance(target, list) else target
    yield "from", _inputs(run)
    if result is not None and result.model is not None:
        alias = f", alias {result.model.alias}" if result.model.alias else ""
        yield "registered as", f"{result.model.name} version {result.model.version}{alias}"
    if result is not None and result.weights_sha256:
        yield "weights", tag("code", f"sha256 {result.weights_sha256}")


def _inputs(run: RunView) -> str:
    used = [
        name
        for name, column in run.data.get("profile", {}).items()
        if column.get("kind") not in ("none", "id")
    ]
    more = f" and {len(used) - 12:,} more" if len(used) > 12 else ""
    return ", ".join(used[:12]) + more


def _loading(run: RunView) -> Markup:
    """Return lines that load the model, to be pasted."""
    result = run.result
    if result is None or not result.weights_sha256:
        return note("There is nothing to load yet.")
    model, folder = result.model, f"{run.folder}/model/mlflow"
    where = f"models:/{model.name}/{model.version}" if model is not None else folder
    asked = where if model is not None else run.folder
    command = f"distrain predict {shlex.quote(asked)} --data rows.csv --out predictions.csv"
    storage = PurePath(run.folder).parent.parent
    if model is not None and run.tracking_uri == f"sqlite:///{storage / DATABASE}":
        command += f" --storage {shlex.quote(str(storage))}"
    if model is None and remote_text(run.folder) is not None:  # MLflow does not find it there
        return to_paste(command)
    python = loading_lines(where, run.tracking_uri if model is not None else None)
    return joined([to_paste(python), to_paste(command)])


def _origin(run: RunView) -> Iterator[tuple[str, Content]]:
    tags = run.story.tags
    git = run.code.get("git") or {}
    dirty = ", with changes that are not committed" if git.get("is_dirty") else ""
    user, host = tags.get("mlflow.user"), run.machine.get("host")
    yield "made by", " on ".join(str(part) for part in (user, host) if part)
    yield "command", tag("code", tags.get("mlflow.source.name", ""))
    commit = f"{git['commit']}{dirty}" if git.get("commit") else ""
    yield "git commit", tag("code", commit) if commit else None
    yield "versions", tags.get("distrain.env")
    machine = run.machine
    gpus = ", ".join(machine.get("gpus") or [])
    yield (
        "machine",
        ", ".join(
            str(part)
            for part in (machine.get("cpu"), f"{machine.get('num_cores')} cores", gpus)
            if part and machine
        ),
    )
    for name, key in (
        ("configuration", "distrain.config.sha256"),
        ("data", "distrain.data.sha256"),
        ("code", "distrain.code.sha256"),
    ):
        yield name, tag("code", f"sha256 {tags[key]}") if key in tags else None
    yield "MLflow run", run.result.run_id if run.result is not None else None
    yield "job", tags.get(JOB_TAG)
    won = f"{tags.get(SWEEP_TAG)}, trial {tags.get(TRIAL_TAG)}"
    yield "winner of", won if SWEEP_TAG in tags else None
    yield "makes again", tags.get("distrain.reproduces")
    yield "folder", tag("code", run.folder)
