"""What matters in a search: how much of the score's variance each parameter explains (fANOVA).

The values that are explained are those of finished trials. Where too few finish, as with early
termination, it is what trials had at the latest time that half of them came to: one time for all,
since values of different times cannot be compared.

Source: Hutter, Hoos and Leyton-Brown 2014, as optuna computes it.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, final

from distrain.report.page.words import counted
from distrain.report.search.dimension import Dimension
from distrain.report.search.trial import TrialView
from distrain.report.search.view import SearchView

FEWEST: Final = 16
"""Of fewer trials a forest of trees tells nothing."""
MOST: Final = 160
"""Of more trials some are taken, at equal distances: the time grows with their square."""
_NUM_TREES: Final = 24
_DEPTH: Final = 8
_SEED: Final = 0


@final
@dataclass(frozen=True)
class Basis:
    """The trials whose values can be compared, and those values.

    Attributes:
        trials: by number.
        values: one each, finite.
        time: the time that the values are of; None: they are the finished trials' own.
        text: which they are, in words.
    """

    trials: tuple[TrialView, ...]
    values: tuple[float, ...]
    time: int | None
    text: str

    @property
    def is_enough(self) -> bool:
        """Return whether there are enough of them to say anything."""
        return len(self.trials) >= FEWEST and len(set(self.values)) > 1


@final
@dataclass(frozen=True)
class Importance:
    """How much each parameter explains.

    Attributes:
        shares: dotted key to its share of the variance, the greatest first; 0 to 1.
        num_trials: that it was computed from.
        left_out: keys that it says nothing of, since they do not vary in every trial.
        reason: why there are no shares; empty: there are.
    """

    shares: tuple[tuple[str, float], ...]
    num_trials: int
    left_out: tuple[str, ...] = ()
    reason: str = ""


def basis_of(search: SearchView) -> Basis:
    """Return the trials of a search whose values can be compared."""
    finished = [(t, t.score) for t in search.trials if t.is_whole]
    own = _finite(finished)
    if len(own) >= FEWEST:
        return _basis(own, None, counted(len(own), "finished trial"))
    time = _common_time(search.trials)
    if time is None:
        return _basis(own, None, counted(len(own), "finished trial"))
    at_time = _finite([(t, dict(t.curve).get(time)) for t in search.trials])
    if len(at_time) <= len(own):
        return _basis(own, None, counted(len(own), "finished trial"))
    told = (
        f"{len(at_time):,} trials by their value at {search.time_attr} {time:,}, as "
        f"{f'only {len(own):,}' if own else 'none'} finished"
    )
    return _basis(at_time, time, told)


def importance(basis: Basis, dimensions: Sequence[Dimension]) -> Importance:
    """Return how much of the variance each parameter explains; always the same for the same trials.

    Args:
        basis: the trials and their values.
        dimensions: what varies.
    """
    found = thinned_basis(basis)
    if not basis.is_enough:
        there = counted(len(basis.trials), "trial")
        why = f"it takes {FEWEST}" if len(basis.trials) < FEWEST else "all values are the same"
        reason = f"of {there} with comparable values nothing can be said; {why}"
        return Importance((), len(basis.trials), reason=reason)
    everywhere = [d for d in dimensions if _is_placed(d, found.trials)]
    left_out = tuple(d.path for d in dimensions if d not in everywhere)
    varied = [d for d in everywhere if len({d.place_in(t.values) for t in found.trials}) > 1]
    if len(varied) < 2:
        reason = "fewer than two parameters vary in all of these trials"
        return Importance((), len(found.trials), left_out, reason)
    shares = sorted(_fanova(found, varied).items(), key=lambda pair: (-pair[1], pair[0]))
    return Importance(tuple(shares), len(found.trials), left_out)


def thinned_basis(basis: Basis) -> Basis:
    """Return a basis of at most `MOST` trials, at equal distances among the given ones."""
    count = len(basis.trials)
    if count <= MOST:
        return basis
    kept = [at * count // MOST for at in range(MOST)]
    return Basis(
        tuple(basis.trials[at] for at in kept),
        tuple(basis.values[at] for at in kept),
        basis.time,
        basis.text,
    )


def _is_placed(dimension: Dimension, trials: Sequence[TrialView]) -> bool:
    """Return whether a parameter has a value in all of these trials."""
    return all(dimension.place_in(trial.values) is not None for trial in trials)


def _fanova(basis: Basis, dimensions: Sequence[Dimension]) -> dict[str, float]:
    import optuna
    from optuna.distributions import (
        BaseDistribution,
        CategoricalDistribution,
        FloatDistribution,
    )
    from optuna.importance import FanovaImportanceEvaluator
    from optuna.trial import TrialState

    from distrain.tune.optuna_history import STUDY, HistoryStorage, frozen_trial

    domains: dict[str, BaseDistribution] = {
        one.path: FloatDistribution(0.0, 1.0)
        if one.scale is not None
        else CategoricalDistribution(tuple(range(len(one.listed))))
        for one in dimensions
    }
    frozen = [
        frozen_trial(
            at, TrialState.COMPLETE, value, dict(_positions(trial, dimensions)), domains, {}
        )
        for at, (trial, value) in enumerate(zip(basis.trials, basis.values, strict=True))
    ]
    study = optuna.load_study(
        study_name=STUDY,
        storage=HistoryStorage(frozen, len(frozen)),
        sampler=optuna.samplers.RandomSampler(seed=_SEED),
    )
    evaluator = FanovaImportanceEvaluator(n_trees=_NUM_TREES, max_depth=_DEPTH, seed=_SEED)
    return {path: float(share) for path, share in evaluator.evaluate(study).items()}


def _positions(trial: TrialView, dimensions: Sequence[Dimension]) -> Iterator[tuple[str, float]]:
    for one in dimensions:
        place = one.place_in(trial.values)
        assert place is not None
        yield one.path, place if one.scale is not None else int(place * len(one.listed))


def _finite(found: Sequence[tuple[TrialView, float | None]]) -> list[tuple[TrialView, float]]:
    return [(trial, value) for trial, value in found if value is not None and math.isfinite(value)]


def _basis(found: Sequence[tuple[TrialView, float]], time: int | None, text: str) -> Basis:
    return Basis(tuple(t for t, _ in found), tuple(value for _, value in found), time, text)


def _common_time(trials: Sequence[TrialView]) -> int | None:
    """Return the latest time that half of the trials that told anything have reported at."""
    curves = [dict(trial.curve) for trial in trials if trial.curve]
    times = sorted({time for curve in curves for time in curve}, reverse=True)
    enough = max(1, len(curves) / 2)
    return next((t for t in times if sum(t in curve for curve in curves) >= enough), None)
