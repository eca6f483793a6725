"""The gate that guards an alias: from what was measured to a verdict with its reasons.

An alias moves only where

- the goals that were stated before training are met;
- on the same test rows the candidate is better than the holder by more than chance; or, where that
  is asked for, not worse by more than stated, and smaller or faster;
- neither was trained on any of these rows: those that either was are left out.

Without a holder the goals decide alone. What cannot be known speaks against the move.

The level is stated for all uses of some test rows together. The n-th version that is measured on
them, the first holder included, takes that number for itself (`track/looks.py`) and is compared at
1 / n (n - 1) of it: 1/2, 1/6, 1/12 ... add up to 1, however many follow, so by Bonferroni's
inequality the chance that any of them is called better and is not stays at the stated
level. (1 / n each, as it was first, adds up to 1.9 times the level after ten versions.)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, final

from distrain.evaluate.comparison import Comparison
from distrain.evaluate.fair_rows import LEAST_ROWS
from distrain.evaluate.goals import GoalOutcome
from distrain.track.aliases import GATE_TAG, HOLDER_TAG, NOBODY, WHY_TAG

# Times of predicting differ by so much from one try to the next.
_FASTER_BY: Final = 0.9


@final
@dataclass(frozen=True)
class Equal:
    """When a candidate that is as good counts as better.

    Attributes:
        within: by so much it may be worse, in the metric's unit.
        but: what it must be instead.
    """

    within: float
    but: Literal["smaller", "faster"]


@final
@dataclass(frozen=True)
class Costs:
    """What two models cost.

    Attributes:
        parameters: numbers of parameters, candidate's and holder's.
        seconds: for predicting the same rows, likewise.
    """

    parameters: tuple[int, int]
    seconds: tuple[float, float]


@final
@dataclass(frozen=True)
class Contest:
    """A candidate against a holder, as far as they could be compared.

    Attributes:
        holder: its version.
        comparison: how it came out; None where they could not be compared.
        obstacle: why not, in words.
        notes: what there is to know of the test rows, in words.
        costs: what the two cost, where that counts.
    """

    holder: str
    comparison: Comparison | None
    obstacle: str = ""
    notes: tuple[str, ...] = ()
    costs: Costs | None = None


@final
@dataclass(frozen=True)
class Verdict:
    """Whether an alias moves, and why.

    Attributes:
        may_move: whether it does.
        reasons: each a sentence without its full stop, the decisive ones first.
        contest: what it was decided by; None without a holder, or where goals were not met.
        earlier_tags: of the verdict that the version got the alias by, which stands; None: none.
    """

    may_move: bool
    reasons: tuple[str, ...]
    contest: Contest | None = None
    earlier_tags: Mapping[str, str] | None = None

    @property
    def text(self) -> str:
        """Return the reasons in one line."""
        return "; ".join(self.reasons)

    def tags(self) -> dict[str, str]:
        """Return the tags that tell of the verdict."""
        if self.earlier_tags is not None:
            return dict(self.earlier_tags)
        tags = {GATE_TAG: "passed" if self.may_move else "refused", WHY_TAG: self.text}
        # Without one, the alias moves only where nobody holds it.
        tags[HOLDER_TAG] = self.contest.holder if self.contest else NOBODY
        if self.contest is None:
            return tags
        if (found := self.contest.comparison) is not None:
            tags[f"{GATE_TAG}.metric"] = f"test/{found.metric}"
            tags[f"{GATE_TAG}.gain"] = f"{found.gain:.6g}"
            tags[f"{GATE_TAG}.interval"] = f"[{found.low:.6g}, {found.high:.6g}]"
            tags[f"{GATE_TAG}.p"] = f"{found.p:.4g}"
            tags[f"{GATE_TAG}.level"] = f"{found.level:.4g}"
        return tags


def level_of(level: float, num_versions: int) -> float:
    """Return what is left of a level for the n-th version that is measured on some test rows.

    Args:
        level: the stated one, for all of them together.
        num_versions: its number, which no other has; the first holder's is 1.
    """
    return level / _parts(num_versions)


def _parts(num_versions: int) -> int:
    return max(2, num_versions) * (max(2, num_versions) - 1)


def judge_goals(goals: Sequence[GoalOutcome]) -> Verdict | None:
    """Return the refusal that goals lead to, None where all are met."""
    unmet = [goal for goal in goals if not goal.is_met]
    if not unmet:
        return None
    told = (f"{goal.metric} is {_reached(goal)}, the goal {goal.goal}" for goal in unmet)
    return Verdict(False, tuple(told))


def judge_alone(goals: Sequence[GoalOutcome]) -> Verdict:
    """Return the verdict on a candidate where nobody holds the alias: its goals decide."""
    met = f"of {len(goals)} stated goals all are met" if goals else "no goal was stated"
    return judge_goals(goals) or Verdict(True, ("no version has the alias yet", met))


def judge_unseen(goals: Sequence[GoalOutcome]) -> Verdict:
    """Return the verdict on a candidate while nobody can tell who holds the alias."""
    away = "the tracking server was away: the alias moves if no version has it by then"
    return judge_goals(goals) or Verdict(True, (away,))


def judge_again(tags: Mapping[str, str]) -> Verdict:
    """Return the verdict on a version that has the alias already: the one that gave it that.

    Args:
        tags: of the version.
    """
    earlier = {tag: text for tag, text in tags.items() if tag.startswith(GATE_TAG)}
    return Verdict(True, ("it has the alias already",), earlier_tags=earlier)


def judge(contest: Contest, *, num_versions: int, equal: Equal | None = None) -> Verdict:
    """Return the verdict on a candidate whose goals are met.

    Args:
        contest: the candidate against the holder.
        num_versions: its number among the versions measured on these test rows, as in `level_of`.
        equal: when a candidate that is as good counts as better; None: never.
    """
    found = contest.comparison
    if found is None:
        why = f"version {contest.holder} has the alias, and could not be compared with"
        return Verdict(False, (f"{why}: {contest.obstacle}", *contest.notes), contest)
    if found.num_rows < LEAST_ROWS:
        few = f"{found.num_rows} test rows are left to compare on; at least {LEAST_ROWS} are needed"
        return Verdict(False, (few, *contest.notes), contest)
    notes = (_in_figures(found), _level_text(found.level, num_versions), *contest.notes)
    if found.is_better:
        better = f"better than version {contest.holder} on {found.num_rows:,} test rows"
        return Verdict(True, (better, *notes), contest)
    if equal is not None and contest.costs is not None:
        is_as_good, why = _judge_equal(found, equal, contest.costs)
        return Verdict(is_as_good, (why, *notes), contest)
    worse = f"not better than version {contest.holder} by more than chance"
    return Verdict(False, (f"{worse} on {found.num_rows:,} test rows", *notes), contest)


def _judge_equal(found: Comparison, equal: Equal, costs: Costs) -> tuple[bool, str]:
    if not found.low >= -equal.within:
        return False, f"neither better, nor surely within {equal.within:g} of the holder"
    if equal.but == "smaller":
        own, others = costs.parameters
        told = f"{own:,} parameters, the holder {others:,}"
        is_less = own < others
    else:
        own_s, others_s = costs.seconds
        told = f"{own_s:.3g} s to predict these rows, the holder {others_s:.3g} s"
        is_less = own_s < _FASTER_BY * others_s
    word = equal.but if is_less else f"not {equal.but}"
    return is_less, f"within {equal.within:g} of the holder and {word}: {told}"


def _in_figures(found: Comparison) -> str:
    return (
        f"test/{found.metric} {found.candidate:.6g} against {found.holder:.6g}: a gain of "
        f"{found.gain:.4g}, at this level between {found.low:.4g} and {found.high:.4g}, "
        f"p = {found.p:.4g}"
    )


def _level_text(level: float, num_versions: int) -> str:
    return (
        f"level {level:.4g}, which is 1/{_parts(num_versions)} of the stated one: it is number "
        f"{num_versions} of the versions that were measured on these test rows"
    )


def _reached(goal: GoalOutcome) -> str:
    return "not computed" if goal.value is None else f"{goal.value:.6g}"
