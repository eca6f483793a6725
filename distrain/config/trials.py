"""A trial's plain values -> its settings, or what is wrong with them."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from distrain.config.defaults import resolve_defaults
from distrain.config.explain import explain
from distrain.config.faults import Fault
from distrain.config.settings import Settings


def trial_settings(
    values: Mapping[str, Any], check: Callable[[Settings], list[Fault]]
) -> tuple[Settings | None, list[Fault]]:
    """Return a trial's resolved settings, or None and what is wrong with its values.

    Args:
        values: what `with_values` returned.
        check: returns what is wrong between values.
    """
    try:
        settings = Settings.model_validate(values)
    except ValidationError:
        return None, explain(values)
    faults = check(settings)
    return (None, faults) if faults else (resolve_defaults(settings), [])
