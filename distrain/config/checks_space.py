"""Checks on what a search varies: keys, domains, conditions, and points that are given."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from distrain.config.assignment import exists, path_of, value_in, with_values
from distrain.config.checks_constraints import constraint_faults
from distrain.config.checks_domains import domain_faults
from distrain.config.defaults import resolve_defaults
from distrain.config.digest import NOT_IN_DIGEST, resolved_dict
from distrain.config.domains import domain_of, is_fulfilled, key_of
from distrain.config.environment import text_faults
from distrain.config.explain import known_keys
from distrain.config.faults import Fault, KeyPath, dotted
from distrain.config.settings import Settings
from distrain.config.trials import trial_settings
from distrain.config.tune import ParameterSettings, TuneSettings
from distrain.config.tuning import circle_in, overlap
from distrain.errors import nearest

_SPACE: KeyPath = ("tune", "space")
_VARYING = ("model", "train", "seed")
_KEPT_SECTIONS: Mapping[str, str] = {
    "data": "all trials share one prepared dataset",
    "evaluate": "all trials are measured alike",
    "tune": "it is the search itself",
}
_NO_EFFECT = "it changes no trial's result"

Check = Callable[[Settings], list[Fault]]


def check_space(settings: Settings, check_run: Check) -> Iterator[Fault]:
    """Yield what is wrong with `tune.space` and what speaks of it.

    Args:
        settings: the whole configuration.
        check_run: returns what is wrong between the values of one run.
    """
    tune = settings.tune
    assert tune is not None
    if not tune.space:
        told = "tune.space is empty, so all trials would be the same"
        yield Fault(
            told, (_SPACE,), mend="Name a key, e.g. {train.optimizer.lr: {loguniform: ...}}"
        )
        return
    trials = _Trials(settings, check_run)
    sound: dict[str, ParameterSettings] = {}
    for key, parameter in tune.space.items():
        faults = [
            *key_faults(key, _SPACE),
            *domain_faults(key, parameter),
            *_weights_faults(key, parameter),
        ]
        conditions = [*_condition_faults(key, parameter)]
        if not faults and not conditions:
            sound[key] = parameter
            faults = [*trials.refused(key, parameter)]
        yield from (*faults, *conditions)
    circle = circle_in(tune.space)
    if circle and not any(key in tune.space[key].when for key in circle):
        yield _circle_fault(circle)
    yield from _never_met(sound, trials.values)
    yield from _start_faults(tune, sound, trials)
    is_sound = len(sound) == len(tune.space) and not circle
    yield from constraint_faults(settings, trials.values if is_sound else None)


def key_faults(key: str, above: KeyPath) -> Iterator[Fault]:
    """Yield why a dotted key is none that a search may vary.

    Args:
        key: the dotted key.
        above: where it was written.
    """
    path, here = path_of(key), (*above, key)
    told = f"{dotted(here)}: "
    why = _why_kept(path)
    if path == ("train",):
        mend = "Name a key below it, such as train.optimizer"
        yield Fault(f"{told}train cannot vary as a whole", (here,), mend=mend)
    elif why is None:
        yield Fault(f"{told}the configuration has no key {key!r}", (here,), mend=_near(key))
    elif why:
        yield Fault(
            f"{told}{key} cannot vary between trials: {why}",
            (here,),
            expected="a key below model or train, or seed",
            mend=f"Set {key} for all of them, outside tune",
        )


def _weights_faults(key: str, parameter: ParameterSettings) -> Iterator[Fault]:
    """Yield that models among the choices name weights to begin with."""
    choices = parameter.choice or parameter.grid or ()
    if any(isinstance(one, Mapping) and one.get("init_from") is not None for one in choices):
        here = (*_SPACE, key)
        yield Fault(
            f"{dotted(here)}: init_from cannot vary: all trials begin with the same weights",
            (here,),
            mend="Set model.init_from for all of them, outside tune",
        )


def _why_kept(path: KeyPath) -> str | None:
    """Return why a key may not vary, nothing where it may, None where there is no such key."""
    if path[:2] == ("model", "init_from"):
        return "all trials begin with the same weights"
    if path[0] in _VARYING:
        if not exists(path):
            return None
        is_free = any(path[: len(free)] == free for free in NOT_IN_DIGEST)
        return _NO_EFFECT if is_free else ""
    is_known = exists(path) or (
        path[:1] in known_keys() and path[0] in ("data", "track", "cluster")
    )
    return _KEPT_SECTIONS.get(str(path[0]), _NO_EFFECT) if is_known else None


def _near(key: str) -> str:
    varying = [
        dotted(path)
        for path in known_keys()
        if path[0] in _VARYING and path != ("train",) and _why_kept(path) == ""
    ]
    close = nearest(key, varying)
    same = sorted(name for name in varying if name.rpartition(".")[2] == key.rpartition(".")[2])
    guess = same[0] if len(same) == 1 else close
    found = f"Did you mean {guess!r}? " if guess else ""
    return f"{found}Keys are written out, such as train.optimizer.lr or model.dropout"


def _condition_faults(key: str, parameter: ParameterSettings) -> Iterator[Fault]:
    for other, wanted in parameter.when.items():
        here = (*_SPACE, key, "when", other)
        told = f"tune.space.{key}.when: "
        if other == key:
            mend = "Name the key that decides whether this one varies"
            yield Fault(f"{told}{key} cannot depend on itself", (here,), mend=mend)
        elif wanted == []:
            mend = f"List at least one value of {other}"
            yield Fault(f"{told}{other} = [] is never met", (here,), mend=mend)
        elif not exists(path_of(other)):
            yield Fault(f"{told}the configuration has no key {other!r}", (here,), mend=_near(other))


def _never_met(
    space: Mapping[str, ParameterSettings], values: Mapping[str, Any]
) -> Iterator[Fault]:
    """Yield conditions that hold in no trial, so that nothing varies.

    Args:
        space: its sound entries.
        values: plain values of the resolved configuration.
    """
    for key, parameter in space.items():
        for other, wanted in parameter.when.items():
            told = f"tune.space.{key}.when: {other} = {key_of(wanted)} is never met"
            here: tuple[KeyPath, ...] = ((*_SPACE, key, "when", other),)
            is_there, value = value_in(values, path_of(other))
            if is_there and is_fulfilled(wanted, value):
                continue
            if other in space:
                if not any(domain_of(space[other]).position_of(one) for one in _listed(wanted)):
                    mend = f"Name one of the values that tune.space.{other} takes"
                    yield Fault(told, (*here, (*_SPACE, other)), mend=mend)
            elif not any(overlap(path_of(other), path_of(mine)) for mine in space):
                what = f"{key_of(value)} in all trials" if is_there else "in no trial"
                mend = f"{other} is {what}: let it vary, too, or leave {key} out"
                yield Fault(told, here, mend=mend)


def _circle_fault(circle: list[str]) -> Fault:
    keys: tuple[KeyPath, ...] = tuple((*_SPACE, key, "when") for key in circle)
    return Fault(
        f"tune.space: the conditions of {' and '.join(circle)} wait for each other",
        keys,
        mend="Take `when` away from one of them",
    )


def _start_faults(
    tune: TuneSettings, sound: Mapping[str, ParameterSettings], trials: "_Trials"
) -> Iterator[Fault]:
    for index, point in enumerate(tune.points):
        here: KeyPath = ("tune", "start_from", index)
        faults = [*_point_faults(point, here, tune, sound)]
        yield from faults or trials.faults_of(point, here)


def _point_faults(
    point: Mapping[str, Any],
    here: KeyPath,
    tune: TuneSettings,
    sound: Mapping[str, ParameterSettings],
) -> Iterator[Fault]:
    told = dotted(here)
    if not point:
        mend = "Leave it out: the first trial is the configuration as written"
        yield Fault(f"{told} is empty", (here,), mend=mend)
    for key, value in point.items():
        if key not in tune.space:
            close = nearest(key, tune.space)
            guess = f"Did you mean {close!r}? " if close else ""
            mend = f"{guess}The space has: {', '.join(tune.space)}"
            yield Fault(f"{told}: {key!r} is not in tune.space", ((*here, key),), mend=mend)
        elif key in sound and domain_of(sound[key]).position_of(value) is None:
            kind = sound[key].kinds[0]
            yield Fault(
                f"{told}: {key} = {key_of(value)} is not in its {kind}",
                ((*here, key), (*_SPACE, key, kind)),
                expected=f"a value of {key_of(getattr(sound[key], kind))}",
            )


class _Trials:
    """Tries values in the configuration as it stands."""

    def __init__(self, settings: Settings, check_run: Check) -> None:
        assert settings.tune is not None
        base = resolve_defaults(settings.model_copy(update={"tune": None}))
        self.values = resolved_dict(base)
        self._check_run = check_run
        self._space = settings.tune.space
        self._known = {fault.message for fault in check_run(base)}

    def refused(self, key: str, parameter: ParameterSettings) -> Iterator[Fault]:
        """Yield what the configuration says of the values at the ends of a domain, or of each."""
        kind = parameter.kinds[0]
        above: KeyPath = (*_SPACE, key, kind)
        met = {other: _one_of(wanted) for other, wanted in parameter.when.items()}
        told: set[str] = set()
        for place, value in _tried(parameter):
            for fault in self.faults_of({**met, key: value}, (*above, *place)):
                reason = fault.message.partition(": ")[2]
                if reason not in told:
                    told.add(reason)
                    yield fault

    def faults_of(self, assignment: Mapping[str, Any], here: KeyPath) -> Iterator[Fault]:
        """Yield what the configuration says of a trial, if nothing else varies in it.

        Faults that speak of other keys of the space may be gone in other trials, and are left out.

        Args:
            assignment: dotted key -> value.
            here: where it was written.
        """
        values = with_values(self.values, assignment)
        _, faults = trial_settings(values, self._check_run)
        others = [path_of(other) for other in self._space if other not in assignment]
        for fault in [*faults, *text_faults(values)]:
            is_known = fault.message in self._known
            if not is_known and not any(_concerns(fault, other) for other in others):
                told = f"{dotted(here)}: {fault.message}"
                yield replace(fault, message=told, keys=(here, *fault.keys))


def _tried(parameter: ParameterSettings) -> Iterator[tuple[KeyPath, Any]]:
    """Yield the values that are tried of a domain, each with where it stands below its kind."""
    for listed in (parameter.choice, parameter.grid):
        for index, value in enumerate(listed or ()):
            yield (index,), value
    if parameter.normal is not None:
        yield (), parameter.normal[0]
    bounds = parameter.uniform or parameter.loguniform
    if bounds is not None:
        yield from (((index,), bound) for index, bound in enumerate(bounds))
    elif parameter.kinds[0] in ("quniform", "randint", "lograndint"):
        domain = domain_of(parameter)
        yield (0,), domain.value_at(0.0)
        yield (1,), domain.value_at(1 - 2**-53)


def _one_of(wanted: Any) -> Any:
    return _listed(wanted)[0]


def _listed(wanted: Any) -> list[Any]:
    return wanted if isinstance(wanted, list) else [wanted]


def _concerns(fault: Fault, path: KeyPath) -> bool:
    return any(key[: len(path)] == path or path[: len(key)] == key for key in fault.keys)
