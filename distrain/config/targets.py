"""What a configuration names of the user's own code: import paths, by configuration key."""

from collections.abc import Mapping

from distrain.config.constraints import is_own
from distrain.config.digest import resolved_dict
from distrain.config.settings import Settings


def user_targets(settings: Settings, *, is_search: bool = False) -> list[tuple[str, str]]:
    """Return what the settings name of the user's own code: configuration keys and import paths.

    Args:
        settings: with defaults resolved.
        is_search: whether a search is meant, which asks functions for constraints, too.
    """
    plain = resolved_dict(settings)
    named = [
        ("model.target", plain["model"]),
        ("train.loss.target", plain["train"]["loss"]),
        *(("evaluate.metrics", metric) for metric in plain["evaluate"]["metrics"] or ()),
    ]
    targets = [
        (key, entry["target"])
        for key, entry in named
        if isinstance(entry, Mapping) and "target" in entry
    ]
    constraints = settings.tune.constraints if is_search and settings.tune is not None else []
    return [*targets, *(("tune.constraints", text) for text in constraints if is_own(text))]
