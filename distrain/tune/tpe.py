"""The tree-structured Parzen estimator, by optuna, as a pure function of the history.

A study is made in memory for each trial and forgotten; its chance comes from the trial's number.
optuna sees positions, not values, so one scale serves all domains.
"""

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState

from distrain.config.domains import Domain, Listed, Stepped
from distrain.tune.optuna_history import STUDY, HistoryStorage, frozen_trial
from distrain.tune.space import Space
from distrain.tune.told import Told, seed_for

_WORST = 1e300  # optuna takes infinity for a step's value and warns of it
_MAX_STEPS = 10_000  # more are as good as a range
_STATES = {
    "running": TrialState.RUNNING,
    "finished": TrialState.COMPLETE,
    "stopped": TrialState.PRUNED,
    "failed": TrialState.COMPLETE,
}


class TpeProposer:
    """Proposes where good trials are dense and others are not.

    A stopped trial is told as pruned, with all of its values; a failed one, or one whose value is
    not a number, as the worst of all; one that runs counts as bad for the time being, so that its
    neighbourhood is left alone.

    Args:
        space: the space.
        seed: the search's.
        mode: whether less or more of the metric is better.
        num_startup: trials with a result before it does more than draw.
        earlier: results of an earlier search, with numbers below 0; they are results, too.
    """

    def __init__(
        self,
        space: Space,
        seed: int,
        mode: str,
        num_startup: int,
        earlier: Sequence[Told] = (),
    ) -> None:
        self._space = space
        self._seed = seed
        self._sign = 1.0 if mode == "min" else -1.0
        self._num_startup = num_startup
        self._earlier = tuple(earlier)
        self._distributions = {
            parameter.path: _distribution(parameter.domain) for parameter in space.parameters
        }
        self._frozen: dict[int, tuple[Told, FrozenTrial | None]] = {}

    def candidates(self, number: int, history: Sequence[Told]) -> Iterator[Mapping[str, Any]]:
        """Yield assignments that the estimator draws for a trial."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.TPESampler(
                n_startup_trials=self._num_startup,
                multivariate=True,
                group=True,
                constant_liar=True,
                seed=seed_for(self._seed, number, "tpe"),
            )
        told = (*self._earlier, *history)
        trials = [trial for one in told if (trial := self._trial_of(one)) is not None]
        study = optuna.load_study(
            study_name=STUDY, storage=HistoryStorage(trials, number), sampler=sampler
        )
        while True:
            yield self._asked(study)

    def _asked(self, study: optuna.Study) -> dict[str, Any]:
        trial = study.ask()
        chosen: dict[str, Any] = {}
        for parameter in self._space.in_order:
            if self._space.varies(parameter, chosen):
                position = self._suggested(trial, parameter.path)
                chosen[parameter.path] = parameter.domain.value_at(position)
        return self._space.sorted(chosen)

    def _suggested(self, trial: optuna.Trial, path: str) -> float:
        distribution = self._distributions[path]
        if isinstance(distribution, CategoricalDistribution):
            index = trial.suggest_categorical(path, distribution.choices)
            assert isinstance(index, int)
            return (index + 0.5) / len(distribution.choices)
        if isinstance(distribution, IntDistribution):
            count = distribution.high + 1
            return (trial.suggest_int(path, 0, count - 1) + 0.5) / count
        return trial.suggest_float(path, 0.0, 1.0)

    def _trial_of(self, told: Told) -> FrozenTrial | None:
        """Return what optuna is told; None: a value lies outside its domain, as trial 0's may."""
        known = self._frozen.get(told.trial)
        if known is None or (known[0] is not told and known[0] != told):
            known = self._frozen[told.trial] = (told, self._made(told))
        return known[1]

    def _made(self, told: Told) -> FrozenTrial | None:
        domains = {parameter.path: parameter.domain for parameter in self._space.parameters}
        params: dict[str, Any] = {}
        for path, value in told.assignment.items():
            position = domains[path].position_of(value)
            if position is None:
                return None
            params[path] = _internal(self._distributions[path], position)
        state = _STATES[told.state]
        return frozen_trial(
            told.trial,
            state,
            _finite(told.loss(self._sign)) if state == TrialState.COMPLETE else None,
            params,
            {path: self._distributions[path] for path in params},
            {time: _finite(self._sign * value) for time, value in told.values},
        )


def _distribution(domain: Domain) -> BaseDistribution:
    if isinstance(domain, Listed):
        return CategoricalDistribution(tuple(range(domain.num_values)))
    if isinstance(domain, Stepped) and domain.num_values <= _MAX_STEPS:
        return IntDistribution(0, domain.num_values - 1)
    return FloatDistribution(0.0, 1.0)


def _internal(distribution: BaseDistribution, position: float) -> float:
    if isinstance(distribution, CategoricalDistribution):
        return int(position * len(distribution.choices))
    if isinstance(distribution, IntDistribution):
        return int(position * (distribution.high + 1))
    return position


def _finite(value: float) -> float:
    return _WORST if math.isnan(value) else min(max(value, -_WORST), _WORST)
