"""Where the final model is wrong on the test split: confusions by class, or errors by size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

from distrain.report.page.columns import Histogram, histogram
from distrain.report.page.markup import Markup, joined
from distrain.report.page.matrix import Matrix, matrix
from distrain.report.page.parts import Column, Row, bar, figures, folded, note, table
from distrain.report.page.shell import Section
from distrain.report.page.words import number_text, share_text
from distrain.report.run.view import RunView
from distrain.tune.audit import share_interval

MAX_MATRIX: Final = 50
MAX_CONFUSIONS: Final = 10
MAX_SHOWN_CLASSES: Final = 20


@final
@dataclass(frozen=True)
class ClassScore:
    """How well a class is told.

    Attributes:
        name: the class.
        actual: rows that are of it.
        predicted: rows that were said to be.
        right: rows that are, and were said to be.
    """

    name: str
    actual: int
    predicted: int
    right: int

    @property
    def recall(self) -> float:
        """Return the share of its rows that were found; 0 where it has none."""
        return self.right / self.actual if self.actual else 0.0

    @property
    def precision(self) -> float:
        """Return the share of what was said to be of it that is; 0 where nothing was."""
        return self.right / self.predicted if self.predicted else 0.0

    @property
    def f1(self) -> float:
        """Return the harmonic mean of both."""
        both = self.actual + self.predicted
        return 2 * self.right / both if both else 0.0


def wrong_section(run: RunView) -> Section | None:
    """Return where the model is wrong; None where the test split was not assessed."""
    counts = run.story.assessments.get("test")
    if counts is None or not counts.get("num_rows"):
        return None
    is_of_classes = "classes" in counts
    content = _of_classes(counts) if is_of_classes else _of_numbers(counts)
    lead = f"The final model on the {counts['num_rows']:,} rows of the test split."
    return Section("wrong", "Where it is wrong", content, lead)


def class_scores(counts: Mapping[str, Any]) -> list[ClassScore]:
    """Return how well each class is told, from what `mistakes.of_classes` counted."""
    fields = (counts[name] for name in ("classes", "actual", "predicted", "right"))
    return [ClassScore(*values) for values in zip(*fields, strict=True)]


def _of_classes(counts: Mapping[str, Any]) -> Markup:
    scores = class_scores(counts)
    right, rows = sum(score.right for score in scores), int(counts["num_rows"])
    low, high = share_interval(right, rows)
    text = (
        f"{right:,} of {rows:,} rows are right, {right / rows:.1%}; by so many rows alone, "
        f"95 times of 100 between {low:.1%} and {high:.1%}."
    )
    drawn = [_matrix(counts, scores)] if len(scores) <= MAX_MATRIX else []
    confusions = _confusions(counts, scores)
    left_out = int(counts["num_classes"]) - len(scores)
    told = [note(f"{left_out:,} classes with the fewest rows are left out.")] if left_out else []
    return joined([note(text), figures(*drawn, confusions), _class_table(scores), *told])


def _matrix(counts: Mapping[str, Any], scores: Sequence[ClassScore]) -> Markup:
    cells = [[0] * len(scores) for _ in scores]
    for place, score in enumerate(scores):
        cells[place][place] = score.right
    for actual, predicted, rows in counts["confused"]:
        cells[actual][predicted] = rows
    names = [score.name for score in scores]
    return matrix(
        Matrix(
            "Confusion matrix",
            names,
            names,
            [
                [rows / score.actual if score.actual else 0.0 for rows in row]
                for row, score in zip(cells, scores, strict=True)
            ],
            [[f"{rows:,}" if rows else "" for rows in row] for row in cells],
            [
                [
                    f"{names[down]}, said to be {names[across]}: {rows:,} of {score.actual:,}"
                    for across, rows in enumerate(row)
                ]
                for down, (row, score) in enumerate(zip(cells, scores, strict=True))
            ],
            "actual",
            "predicted",
            "Rows; the shade is the share of the actual class.",
        )
    )


def _confusions(counts: Mapping[str, Any], scores: Sequence[ClassScore]) -> Markup:
    rows = [
        Row(
            [
                scores[actual].name,
                scores[predicted].name,
                f"{number:,}",
                share_text(number / scores[actual].actual),
            ]
        )
        for actual, predicted, number in counts["confused"][:MAX_CONFUSIONS]
    ]
    if not rows:
        return note("No row was confused.", "good")
    columns = [
        Column("actual"),
        Column("said to be"),
        Column("rows", is_number=True),
        Column("of the class", is_number=True),
    ]
    return table(columns, rows, "Most frequent confusions")


def _class_table(scores: Sequence[ClassScore]) -> Markup:
    columns = [
        Column("class"),
        Column("rows", is_number=True),
        Column("precision", is_number=True),
        Column("recall", is_number=True),
        Column("f1", is_number=True),
        Column(""),
    ]
    rows = [
        Row(
            [
                score.name,
                f"{score.actual:,}",
                f"{score.precision:.3f}",
                f"{score.recall:.3f}",
                f"{score.f1:.3f}",
                bar(score.f1, "s0"),
            ]
        )
        for score in sorted(scores, key=lambda each: each.f1)
    ]
    shown = table(columns, rows[:MAX_SHOWN_CLASSES], "By class, the weakest first")
    if len(rows) <= MAX_SHOWN_CLASSES:
        return shown
    rest = rows[MAX_SHOWN_CLASSES:]
    return joined([shown, folded(f"{len(rest):,} more classes", table(columns, rest))])


def _of_numbers(counts: Mapping[str, Any]) -> Markup:
    return joined([_of_target(target, counts) for target in counts["targets"]])


def _of_target(target: Mapping[str, Any], counts: Mapping[str, Any]) -> Markup:
    name, finite = str(target["name"]), int(target["num_finite"])
    if not finite:
        return note(f"No prediction of {name} is a number.", "bad")
    missing = int(counts["num_rows"]) - finite
    told = [note(f"{missing:,} predictions of {name} are no numbers.", "bad")] if missing else []
    beyond = int(target["below"]) + int(target["above"])
    error, absolute = target["mean_error"], target["mean_absolute_error"]
    drawn = histogram(
        Histogram(
            f"Errors of {name}",
            target["edges"],
            target["counts"],
            "predicted less actual",
            f"mean {number_text(error)}, mean size {number_text(absolute)}; {beyond:,} rows beyond",
        )
    )
    return joined([figures(drawn, _groups(target)), *told])


def _groups(target: Mapping[str, Any]) -> Markup:
    groups = target["groups"]
    most = max(float(group["mean_absolute_error"]) for group in groups)
    columns = [
        Column("actual value"),
        Column("rows", is_number=True),
        Column("mean error", is_number=True),
        Column("mean size", is_number=True),
        Column(""),
    ]
    rows = [
        Row(
            [
                f"{number_text(group['low'])} to {number_text(group['high'])}",
                f"{group['num_rows']:,}",
                number_text(group["mean_error"]),
                number_text(group["mean_absolute_error"]),
                bar(group["mean_absolute_error"] / most if most else 0.0, "s0"),
            ]
        )
        for group in groups
    ]
    return table(columns, rows, "By tenths of the rows")
