"""The search space: which keys vary, over what, and the configuration that an assignment gives.

An assignment maps dotted keys to plain values. It holds the keys whose `when` is met, no others.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from distrain.config.assignment import path_of, value_in, with_values
from distrain.config.checks import check_run
from distrain.config.constraints import Constraint, is_own, read_constraint
from distrain.config.digest import resolved_dict
from distrain.config.domains import Domain, domain_of, key_of
from distrain.config.faults import raise_faults
from distrain.config.settings import Settings
from distrain.config.trials import trial_settings
from distrain.config.tune import ParameterSettings
from distrain.config.tuning import conditions_first, grid_points, is_met
from distrain.errors import ConfigError
from distrain.tune.own_constraint import OwnConstraint


@dataclass(frozen=True)
class Parameter:
    """One key that varies.

    Attributes:
        path: its dotted key.
        domain: the values that it takes.
        when: other keys and what they have to be for it to vary.
        kind: what the domain was given as, such as loguniform.
    """

    path: str
    domain: Domain
    when: Mapping[str, Any]
    kind: str


@dataclass(frozen=True)
class Space:
    """What a search varies; pure and frozen.

    Attributes:
        parameters: in the order in which they were written.
        constraints: what has to hold of every trial; looked at in this order.
    """

    parameters: tuple[Parameter, ...]
    constraints: tuple[Constraint | OwnConstraint, ...]
    _base: Settings = field(repr=False)
    _written: Mapping[str, ParameterSettings] = field(repr=False)

    @classmethod
    def of(cls, settings: Settings) -> "Space":
        """Return the space of a loaded configuration.

        Raises:
            ConfigError: it has none.
        """
        if settings.tune is None:
            raise ConfigError(
                "the configuration has no search",
                where="tune",
                expected="a section `tune:` with a space",
                mend="Add e.g. tune: {space: {train.optimizer.lr: {loguniform: [1e-4, 1e-1]}}}",
            )
        plain = resolved_dict(settings)
        written = {
            key: _as_resolved(key, entry, plain) for key, entry in settings.tune.space.items()
        }
        parameters = tuple(
            Parameter(key, domain_of(entry), entry.when, entry.kinds[0])
            for key, entry in written.items()
        )
        constraints = tuple(
            OwnConstraint(text) if is_own(text) else read_constraint(text)
            for text in settings.tune.constraints
        )
        return cls(parameters, constraints, settings, written)

    def settings_of(self, base: Settings, assignment: Mapping[str, Any]) -> Settings:
        """Return a trial's settings: the base's, with the assigned values in place of its own.

        They have no `tune`, every default resolved, and depend on base and assignment alone.
        Measured in CPU time on a core that others used too: 0.2 ms.

        Args:
            base: the configuration of the search, resolved.
            assignment: dotted key -> value.

        Raises:
            ConfigError: the values do not make a configuration; every fault is told.
        """
        values = with_values(self._plain(base), assignment)
        settings, faults = trial_settings(values, check_run)
        if settings is None:
            raise_faults(faults)
        return settings

    def is_allowed(self, settings: Settings) -> bool:
        """Return whether all constraints hold of a trial's resolved settings."""
        return all(constraint.holds(settings) for constraint in self.constraints)

    def allows(self, assignment: Mapping[str, Any]) -> bool:
        """Return whether an assignment gives a configuration in which all constraints hold.

        Raises:
            ModelError: a function of the user's own cannot be imported.
            ConfigError: it fails.
        """
        values = with_values(self._plain(self._base), assignment)
        settings, _ = trial_settings(values, check_run)
        try:
            return settings is not None and self.is_allowed(settings)
        except ConfigError as error:
            told = ", ".join(f"{key} = {key_of(value)}" for key, value in assignment.items())
            raise ConfigError(
                f"{error.message}, in a trial with {told or 'the values as written'}",
                where=error.where,
                expected=error.expected,
                mend=error.mend,
            ) from error

    def as_written(self, base: Settings) -> dict[str, Any]:
        """Return the assignment of trial 0: the base's own values of the keys that vary in it."""
        values = self._plain(base)
        found = {key: value_in(values, path_of(key)) for key in self._written}
        return {
            key: value
            for key, (is_there, value) in found.items()
            if is_there and is_met(self._written[key], values)
        }

    def at(self, positions: Mapping[str, float]) -> dict[str, Any]:
        """Return the assignment at positions in [0, 1) of each domain.

        Args:
            positions: of every parameter, by its dotted key; those whose `when` is not met are not
                looked at.
        """
        chosen: dict[str, Any] = {}
        for parameter in self.in_order:
            if self.varies(parameter, chosen):
                chosen[parameter.path] = parameter.domain.value_at(positions[parameter.path])
        return self.sorted(chosen)

    def varies(self, parameter: Parameter, chosen: Mapping[str, Any]) -> bool:
        """Return whether a parameter varies beside what is chosen of those that it depends on."""
        if not parameter.when:
            return True
        values = with_values(self._plain(self._base), chosen)
        return is_met(self._written[parameter.path], values)

    def sorted(self, assignment: Mapping[str, Any]) -> dict[str, Any]:
        """Return an assignment in the order of the space."""
        return {key: assignment[key] for key in self._written if key in assignment}

    def points(self) -> Iterator[dict[str, Any]]:
        """Yield each combination of the values once, where all domains can be gone through."""
        seen: set[str] = set()
        for point in grid_points(self._written, self._plain(self._base)):
            key = key_of(point)
            if key not in seen:
                seen.add(key)
                yield point

    @cached_property
    def in_order(self) -> tuple[Parameter, ...]:
        """The parameters, each behind those that it depends on."""
        by_key = {parameter.path: parameter for parameter in self.parameters}
        return tuple(by_key[key] for key in conditions_first(self._written))

    @cached_property
    def num_points(self) -> int | None:
        """How many combinations of values there are at most, None where there is no end."""
        product = 1
        for parameter in self.parameters:
            if parameter.domain.num_values is None:
                return None
            product *= parameter.domain.num_values
        return product

    def _plain(self, base: Settings) -> dict[str, Any]:
        return self._plain_base if base is self._base else resolved_dict(base)

    @cached_property
    def _plain_base(self) -> dict[str, Any]:
        return resolved_dict(self._base)


def _as_resolved(key: str, entry: ParameterSettings, plain: Mapping[str, Any]) -> ParameterSettings:
    """Return an entry whose listed whole numbers are floats where the configuration has floats.

    MLflow takes a parameter's text once and for all, and refuses `1.0` behind `1`.
    """
    listed = {
        kind: [_number_of(key, value, plain) for value in values]
        for kind in ("choice", "grid")
        if (values := getattr(entry, kind)) is not None
    }
    return entry.model_copy(update=listed) if listed else entry


def _number_of(key: str, value: Any, plain: Mapping[str, Any]) -> Any:
    if not isinstance(value, int) or isinstance(value, bool):
        return value
    settings, _ = trial_settings(with_values(plain, {key: value}), lambda _: [])
    found = value_in(resolved_dict(settings), path_of(key))[1] if settings else value
    return found if isinstance(found, float) else value
