"""The study that copies nothing leads optuna to what its own would."""

import random

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState

from distrain.tune.optuna_history import STUDY, HistoryStorage, frozen_trial

STATES = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)


def history(count):
    chance = random.Random(3)
    trials = []
    for number in range(count):
        x, state = chance.random(), STATES[number % 3]
        trials.append(
            frozen_trial(
                number,
                state,
                (x - 0.3) ** 2 if state == TrialState.COMPLETE else None,
                {"x": x, "c": number % 2},
                {"x": FloatDistribution(0.0, 1.0), "c": CategoricalDistribution((0, 1))},
                {1: x} if state != TrialState.RUNNING else {},
            )
        )
    return trials


def asked(study):
    trial = study.ask()
    return trial.suggest_float("x", 0.0, 1.0), trial.suggest_categorical("c", (0, 1))


def sampler(seed):
    return optuna.samplers.TPESampler(seed=seed, multivariate=True, n_startup_trials=5)


@pytest.mark.parametrize("seed", range(5))
def test_the_same_history_leads_to_the_same_point(seed):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    theirs = optuna.create_study(sampler=sampler(seed))
    theirs.add_trials(history(40))
    ours = optuna.load_study(
        study_name=STUDY, storage=HistoryStorage(history(40), 40), sampler=sampler(seed)
    )

    assert asked(ours) == asked(theirs)


def test_a_second_trial_takes_the_place_of_the_first():
    storage = HistoryStorage(history(4), 4)
    study = optuna.load_study(study_name=STUDY, storage=storage, sampler=sampler(0))

    asked(study)
    asked(study)

    assert [trial.number for trial in storage.get_all_trials(0)] == [0, 1, 2, 3, 4]


def test_a_history_is_not_written_to():
    storage = HistoryStorage(history(4), 4)

    with pytest.raises(RuntimeError, match="for reading: a trial in hand gives way"):
        storage.set_trial_state_values(0, TrialState.COMPLETE, [1.0])
