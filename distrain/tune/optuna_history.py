"""A study of optuna's over trials that are there already, and the one that is asked for.

optuna's own storage in memory copies every trial deeply when it is added: 0.1 s for 1,000 trials.
This one holds them as they are and keeps nothing but the trial in hand.
"""

# ruff: noqa: ARG002  (the arguments are those of optuna's interface)

from collections.abc import Container, Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn

from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

STUDY = "history"
_ID = 0
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)  # optuna wants a time, and no sampler looks at it


def frozen_trial(
    number: int,
    state: TrialState,
    value: float | None,
    params: dict[str, Any],
    distributions: dict[str, BaseDistribution],
    intermediate_values: dict[int, float],
) -> FrozenTrial:
    """Return a trial as optuna knows it; nothing in it depends on the clock."""
    return FrozenTrial(
        number=number,
        trial_id=number,
        state=state,
        value=value,
        datetime_start=_LONG_AGO,
        datetime_complete=_LONG_AGO if state.is_finished() else None,
        params=params,
        distributions=distributions,
        intermediate_values=intermediate_values,
        user_attrs={},
        system_attrs={},
    )


class HistoryStorage(BaseStorage):
    """One study to be minimised: trials that are over or run, and at most one more, in hand.

    A new trial takes the place of the one that was in hand. What optuna would write of a study, or
    of any other trial, is refused.

    Args:
        trials: the history, which is not changed.
        number: the trial in hand.
    """

    def __init__(self, trials: Sequence[FrozenTrial], number: int) -> None:
        self._history = list(trials)
        self._number = number
        self._in_hand: FrozenTrial | None = None

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Take a new trial in hand and return its id, which is its number."""
        self._in_hand = frozen_trial(self._number, TrialState.RUNNING, None, {}, {}, {})
        return self._number

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        """Keep a parameter of the trial in hand."""
        trial = self.get_trial(trial_id)
        trial.params[param_name] = distribution.to_external_repr(param_value_internal)
        trial.distributions[param_name] = distribution

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Keep what a sampler notes on the trial in hand."""
        self.get_trial(trial_id).system_attrs[key] = value

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return the trial in hand."""
        assert self._in_hand is not None
        assert trial_id == self._number
        return self._in_hand

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """Return the history and the trial in hand, as they are: no sampler changes them."""
        trials = self._history if self._in_hand is None else [*self._history, self._in_hand]
        return [trial for trial in trials if states is None or trial.state in states]

    def get_study_id_from_name(self, study_name: str) -> int:
        """Return the id of the one study."""
        return _ID

    def get_study_name_from_id(self, study_id: int) -> str:
        """Return the name of the one study."""
        return STUDY

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """Return that less is better."""
        return [StudyDirection.MINIMIZE]

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """Return that nothing is noted on the study."""
        return {}

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Return that nothing is noted on the study."""
        return {}

    def create_new_study(
        self, directions: Sequence[StudyDirection], study_name: str | None = None
    ) -> int:
        """Refuse: the one study is there."""
        _refuse("there is one study, and it is there")

    def delete_study(self, study_id: int) -> None:
        """Refuse: the one study stays."""
        _refuse("there is one study, and it stays")

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        """Refuse: nothing is kept of a study."""
        _refuse("nothing is kept of a study")

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Refuse: nothing is kept of a study."""
        _refuse("nothing is kept of a study")

    def get_all_studies(self) -> list[Any]:
        """Refuse: no sampler asks."""
        _refuse("there is one study, whose id is given")

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Refuse: a trial in hand gives way to the next."""
        _refuse("a trial in hand gives way to the next")

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        """Refuse: values come with the history."""
        _refuse("values come with the history")

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Refuse: no sampler does."""
        _refuse("samplers note what they need as system attributes")


def _refuse(why: str) -> NoReturn:
    """Refuse what optuna's interface has and no sampler needs: a history is for reading."""
    raise RuntimeError(f"a search's history is for reading: {why}")
