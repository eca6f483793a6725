"""Why a tree of values is no configuration: every fault, in the user's words.

pydantic decides whether values are valid; only where they are not does this module walk them along
the JSON Schema of the settings, so that messages speak of files, keys and the family that `name`
chose, and never of pydantic's types.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Final

from distrain.config.faults import Fault, KeyPath, dotted
from distrain.config.leaves import fits, mend
from distrain.config.settings import Settings
from distrain.config.words import Schema, expected, given, options_of, own_name
from distrain.errors import did_you_mean, nearest

MISSING: dict[KeyPath, str] = {
    ("data", "source"): "Say where the data lies: `source: FILE` below `data:`",
    ("data", "target"): "Say which column to predict: `target: COLUMN` below `data:`",
}
# What Ray Tune calls it; other keys are closer by their letters.
_RAY_NAMES: Final = {"num_samples": "num_trials", "max_concurrent_trials": "max_concurrent"}


def explain(values: Any) -> list[Fault]:
    """Return every fault that values have by themselves; none if they are valid.

    Args:
        values: a merged tree, short forms written out and names filled in.
    """
    schema = _schema()
    return list(_Walk(schema["$defs"]).value(values, schema, ()))


@cache
def _schema() -> Schema:
    return Settings.model_json_schema()


@cache
def known_keys() -> frozenset[KeyPath]:
    """Return the path of every key that some configuration can have."""
    schema = _schema()
    definitions = schema["$defs"]

    def below(inner: Schema, path: KeyPath) -> Iterator[KeyPath]:
        for option in options_of(inner, definitions):
            for key, value in option.get("properties", {}).items():
                yield (*path, key)
                yield from below(value, (*path, key))

    return frozenset(below(schema, ()))


class _Walk:
    """A walk down values and schema together."""

    def __init__(self, definitions: Schema) -> None:
        self._definitions = definitions

    def value(self, value: Any, schema: Schema, path: KeyPath) -> Iterator[Fault]:
        """Yield the faults of a value that has to fit one of the schema's options."""
        options = list(options_of(schema, self._definitions))
        kind = "object" if isinstance(value, dict) else "array" if isinstance(value, list) else ""
        inner = [option for option in options if option.get("type") == kind]
        if kind == "object" and inner:
            yield from self._mapping(value, inner, path)
        elif kind == "array" and inner and _has_length(value, inner[0]):
            yield from self._list(value, inner[0], path)
        elif not any(fits(value, option) for option in options):
            wanted = expected(schema, self._definitions)
            told = f"{dotted(path)} is {given(value)}"
            yield Fault(told, (path,), expected=wanted, mend=mend(value, options, path))

    def _list(self, value: list[Any], schema: Schema, path: KeyPath) -> Iterator[Fault]:
        items = schema.get("prefixItems") or [schema.get("items", {})] * len(value)
        for index, (item, inner) in enumerate(zip(value, items, strict=True)):
            yield from self.value(item, inner, (*path, index))

    def _mapping(
        self, value: dict[str, Any], options: Sequence[Schema], path: KeyPath
    ) -> Iterator[Fault]:
        chosen = options[0] if len(options) == 1 else _chosen(value, options, path)
        if isinstance(chosen, Fault):
            yield chosen
            return
        properties, rest = chosen.get("properties", {}), chosen.get("additionalProperties")
        for key, inner in value.items():
            if key in properties:
                yield from self.value(inner, properties[key], (*path, key))
            elif rest is False:
                yield _unknown((*path, key), chosen, options)
            elif isinstance(rest, dict):
                yield from self.value(inner, rest, (*path, key))
        for key in chosen.get("required", ()):
            if key not in value:
                here = (*path, key)
                about = MISSING.get(here, f"Add it: {properties[key]['description']}")
                yield Fault(f"{dotted(here)} is missing", (here,), mend=about)


def _chosen(value: dict[str, Any], options: Sequence[Schema], path: KeyPath) -> Schema | Fault:
    """Return the option that `name` or `target` chooses, or why there is none."""
    named = {own_name(option): option for option in options}
    own = named.pop("", None)
    here: KeyPath = (*path, "name")
    if "target" in value and "name" in value:
        told = f"{dotted(path)} has both name and target"
        mending = "Keep name for a built-in one, or target for your own"
        return Fault(told, (here, (*path, "target")), expected="one of the two", mend=mending)
    if own is not None and "target" in value:
        return own
    if "name" not in value:
        return Fault(f"{dotted(here)} is missing", (here,), mend=_valid_names(named, own))
    name = value["name"]
    if name in tuple(named):
        return named[name]
    close = nearest(str(name), named)
    guess = f"Did you mean {close!r}? " if close else ""
    told = f"{dotted(here)} is {given(name)}"
    return Fault(told, (here,), mend=guess + _valid_names(named, own))


def _valid_names(named: dict[str, Schema], own: Schema | None) -> str:
    for_own = "; for your own, target: package.module:Name" if own is not None else ""
    return f"Valid names: {', '.join(sorted(named))}{for_own}."


def _unknown(path: KeyPath, chosen: Schema, options: Sequence[Schema]) -> Fault:
    name = own_name(chosen)
    listed = f"Valid keys for {name}" if name else "Valid keys"
    told = f"{dotted(path)}: unknown key" + (f" for {name}" if name else "")
    key, valid = str(path[-1]), sorted(chosen["properties"])
    lead = _lead_elsewhere(key, valid, options)
    mending = f"{lead} {listed}: {', '.join(valid)}." if lead else ""
    return Fault(told, (path,), mend=mending or did_you_mean(key, valid, listed=listed))


def _lead_elsewhere(key: str, valid: Sequence[str], options: Sequence[Schema]) -> str:
    """Return where a key would be right that is wrong here, or nothing if nowhere is."""
    if _RAY_NAMES.get(key) in valid:
        return f"Did you mean {_RAY_NAMES[key]!r}?"
    owners = [own_name(option) or "target" for option in options if key in option["properties"]]
    if owners:
        return f"It belongs to {', '.join(owners)}."
    if "." in key and tuple(key.split(".")) in known_keys():
        nested = key.replace(".", ": {") + ": ..." + "}" * key.count(".")
        return f"In a file write {nested}; dotted keys are for the command line."
    if nearest(key, valid) is not None:
        return ""
    has_own = any("target" in option["properties"] for option in options)
    if has_own and nearest(key, ("target",)):
        return "Did you mean 'target'?"
    elsewhere = [known for known in known_keys() if known[-1] == key]
    elsewhere = [known for known in elsewhere if known[0] != "tune"] or elsewhere
    return f"Did you mean {dotted(elsewhere[0])!r}?" if len(elsewhere) == 1 else ""


def _has_length(value: list[Any], schema: Schema) -> bool:
    least, most = int(schema.get("minItems", 0)), int(schema.get("maxItems", len(value)))
    return least <= len(value) <= most
