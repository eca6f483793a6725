"""What a configuration names of the user's own code: import paths, by configuration key."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from distrain.config.constraints import is_own
from distrain.config.digest import resolved_dict
from distrain.config.names import DATASETS
from distrain.config.settings import Settings
from distrain.config.tune import TuneSettings

_OF_TRAINING: Final = ("loss", "optimizer", "lr_schedule")
_SECTIONS: Final = ("model", "train.loss")
"""What may be given by a target, in whose place a search may put another."""


def user_targets(settings: Settings, *, is_search: bool = False) -> list[tuple[str, str]]:
    """Return what the settings name of the user's own code: configuration keys and import paths.

    Args:
        settings: with defaults resolved.
        is_search: whether a search is meant, which asks functions for constraints, too, and may
            have models and losses of the user's own among its choices.
    """
    plain = resolved_dict(settings)
    data = plain["data"]
    named = [
        ("model.target", plain["model"]),
        *((f"data.{key}.target", data[key]) for key in DATASETS),
        ("data.collate", {"target": data["collate"]} if data["collate"] else None),
        *((f"train.{key}.target", plain["train"][key]) for key in _OF_TRAINING),
        ("train.step", {"target": plain["train"]["step"]} if plain["train"]["step"] else None),
        *(("evaluate.metrics", metric) for metric in plain["evaluate"]["metrics"] or ()),
    ]
    targets = [
        (key, entry["target"])
        for key, entry in named
        if isinstance(entry, Mapping) and "target" in entry
    ]
    searched = _of_search(settings.tune) if is_search and settings.tune is not None else ()
    return list(dict.fromkeys([*targets, *searched]))


def is_choice(key: str) -> bool:
    """Return whether what a key names is a choice of a search: its trials alone import it.

    One that cannot be imported fails its trials, and not the search.
    """
    return key.startswith(("tune.space.", "tune.start_from"))


def _of_search(tune: TuneSettings) -> Iterator[tuple[str, str]]:
    yield from (("tune.constraints", text) for text in tune.constraints if is_own(text))
    for key, parameter in tune.space.items():
        if key.removesuffix(".target") in _SECTIONS:
            for value in parameter.choice or parameter.grid or ():
                yield from ((f"tune.space.{key}", target) for target in _target_in(value))
    for point in tune.points:
        for key, value in point.items():
            if key.removesuffix(".target") in _SECTIONS:
                yield from (("tune.start_from", target) for target in _target_in(value))


def _target_in(value: Any) -> list[str]:
    """Return the import path that a value is, or holds, as a list of none or one."""
    found = value.get("target") if isinstance(value, Mapping) else value
    return [found] if isinstance(found, str) and is_own(found) else []
