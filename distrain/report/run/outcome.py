"""What came of a run, in words, in key figures, and against the goals that were stated."""

import re
from collections.abc import Iterator
from typing import Final

from distrain.cost import money_text
from distrain.durations import duration_text
from distrain.evaluate.goals import check_goals
from distrain.past.story import MAX_BYTES
from distrain.report.page.parts import Card, Column, Row, table, told
from distrain.report.page.shell import Outcome, Section
from distrain.report.page.words import number_text
from distrain.report.run.spent import run_cost
from distrain.report.run.view import RunView
from distrain.report.tables import version_text

_BOUND: Final = re.compile(r"[-+0-9.eE]+$")


def outcome_of(run: RunView) -> Outcome:
    """Return what came of the run."""
    step = run.result.step if run.result is not None else run.story.last_step
    words = {
        "finished": ("Finished", "good"),
        "stopped_early": (f"Stopped early at step {step:,}", "good"),
        "failed": (f"Failed at step {step:,}", "bad"),
        "interrupted": (f"Interrupted at step {step:,}", "warn"),
        "running": (f"Running, at step {step:,}", "accent"),
        "cut_off": (f"Cut off at step {step:,}", "bad"),
    }
    word, tone = words[run.state]
    if run.result is not None and any(not goal.is_met for goal in run.result.goals):
        word, tone = f"{word}, and a stated goal was not met", "warn"
    return Outcome(word, " ".join(_sentences(run)), tone)


def _sentences(run: RunView) -> Iterator[str]:
    """Give what there is to say, in sentences."""
    if run.result is not None and run.result.error is not None:
        error = run.result.error
        yield f"{_sentence(error.message)} {_sentence(error.where)} {_sentence(error.mend)}".strip()
    elif run.state == "cut_off":
        yield "Nobody drives it any more, and it told no end; distrain resume goes on with it."
    elif run.state == "interrupted":
        yield "Its state is saved; distrain resume goes on with it."
    total = run.story.progress.get("total_steps")
    if total:
        epochs = run.story.progress["total_epochs"]
        taken = run.story.last_step
        steps = f"All {total:,} steps" if taken == total else f"{taken:,} of {total:,} steps"
        yield f"{steps} were taken ({_counted(epochs, 'epoch')})."
    if run.story.from_step:
        yield (
            f"Its journal is larger than {MAX_BYTES >> 20:,} MiB: of values, and of where the time "
            f"went, what came before step {run.story.from_step:,} is left out."
        )
    best = run.selection
    if best.best_step is not None and best.best_value is not None:
        is_over = run.state in ("finished", "stopped_early") and not run.story.from_step
        is_kept = is_over and bool(run.setting("train.restore_best"))
        since = f" since step {run.story.from_step:,}" if run.story.from_step else " so far"
        what = "The final model is that of" if is_kept else f"The best{since} was"
        value = number_text(best.best_value)
        yield f"{what} step {best.best_step:,}, with {best.metric} {value}."
    model = run.result.model if run.result is not None else None
    if model is not None:
        yield f"It is registered as {version_text(model)}."


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:].rstrip('.')}." if text else ""


def cards_of(run: RunView) -> list[Card]:
    """Return the run's key figures, the most important first."""
    cards = [*_metric_cards(run)]
    best = run.selection
    if best.best_value is not None and best.best_step is not None:
        since = f" since step {run.story.from_step:,}" if run.story.from_step else ""
        note = f"best of {len(run.story.points(best.metric)):,}, at step {best.best_step:,}{since}"
        cards.append(Card(best.metric, number_text(best.best_value), note))
    speed = run.metrics.get("samples_per_second")
    if speed is not None:
        workers = "1 worker" if run.num_workers == 1 else f"{run.num_workers} workers"
        cards.append(Card("rows per second", number_text(round(speed)), f"on {workers}"))
    cards.append(Card("wall time", duration_text(run.time.wall_s), _time_note(run)))
    parameters = run.metrics.get("model/num_parameters")
    if parameters is not None:
        cards.append(Card("parameters", number_text(parameters), _model_name(run)))
    cost = run_cost(run)
    if cost is not None:
        cards.append(Card("cost of GPUs", money_text(cost), "by cluster.price_per_gpu_hour"))
    return cards


def _metric_cards(run: RunView) -> Iterator[Card]:
    """Give what was measured on the test split, at most three of it, goals first."""
    tested = [name for name in run.metrics if name.startswith("test/")]
    asked = [name for name in run.goals if name in tested]
    others = [name for name in tested if name not in asked and name != "test/loss"]
    chosen = [*asked, *others][:3] or tested[:1]
    met = {goal.metric: goal for goal in check_goals(run.goals, run.metrics)}
    for name in chosen:
        goal = met.get(name)
        if goal is None:
            yield Card(name, number_text(run.metrics[name]))
        else:
            note = f"goal {goal.goal}: {'met' if goal.is_met else 'not met'}"
            tone = "good" if goal.is_met else "bad"
            yield Card(name, number_text(run.metrics[name]), note, tone)


def _time_note(run: RunView) -> str:
    training_s = run.time.seconds("compute")
    return f"{duration_text(training_s)} of it computing" if training_s else ""


def _model_name(run: RunView) -> str:
    return str(run.setting("model.name") or run.setting("model.target") or "")


def goals_section(run: RunView) -> Section | None:
    """Return each goal, what was reached, and what the run before had reached."""
    if not run.goals:
        return None
    columns = [
        Column("metric"),
        Column(""),
        Column("goal, before training", is_number=True),
        Column("reached", is_number=True),
        Column("beyond the goal", is_number=True),
        Column("the run before", is_number=True),
    ]
    before = run.since.before.metrics if run.since is not None else {}
    rows = []
    for goal in check_goals(run.goals, run.metrics):
        bound = _BOUND.search(goal.goal)
        is_open = goal.value is None and run.state in ("running", "interrupted", "cut_off")
        beyond = ""
        if bound and goal.value is not None:
            further = goal.value - float(bound[0])
            beyond = f"{-further if goal.goal.startswith('<') else further:+.3g}"
        verdict = (
            told("not measured yet", "warn")
            if is_open
            else told("met", "good")
            if goal.is_met
            else told("not met", "bad")
        )
        numbers = [number_text(goal.value), beyond, number_text(before.get(goal.metric))]
        rows.append(Row([goal.metric, verdict, goal.goal, *numbers]))
    return Section("goals", "Goals", table(columns, rows))
