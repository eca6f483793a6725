"""The reference that the settings are themselves: JSON Schema, and names with their arguments."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from distrain.config.faults import KeyPath
from distrain.config.names import METRICS
from distrain.config.settings import Settings
from distrain.config.tree import CHOICES, FILLED_IN
from distrain.config.words import Schema, expected, names_of, options_of, own_name
from distrain.errors import ConfigError, did_you_mean

_CHOICE_OF: dict[str, KeyPath] = {
    "models": ("model",),
    "optimizers": ("train", "optimizer"),
    "losses": ("train", "loss"),
    "lr_schedules": ("train", "lr_schedule"),
    "search_algs": ("tune", "search_alg"),
    "schedulers": ("tune", "scheduler"),
}
KINDS = (*_CHOICE_OF, "metrics")
"""What `distrain list` can list."""


@dataclass(frozen=True)
class Argument:
    """One key beside a name.

    Attributes:
        name: the key.
        type: what it takes, in words.
        default: what it is where it is not given.
        description: what it does.
    """

    name: str
    type: str
    default: Any
    description: str

    @property
    def shown(self) -> str:
        """The argument with its default, as a table has it: `lr [0.01]`."""
        is_word = isinstance(self.default, str)
        return f"{self.name} [{self.default if is_word else json.dumps(self.default)}]"


@dataclass(frozen=True)
class Entry:
    """A name that a configuration can use.

    Attributes:
        name: the name.
        summary: what it stands for.
        arguments: the keys that may stand beside it.
    """

    name: str
    summary: str
    arguments: tuple[Argument, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the entry as plain values."""
        return asdict(self)


def list_entries(kind: str) -> list[Entry]:
    """Return the names of a kind with their arguments.

    Args:
        kind: models, optimizers, losses, lr_schedules, search_algs, schedulers or metrics.

    Raises:
        ConfigError: there is no such kind.
    """
    if kind == "metrics":
        return [Entry(name, _metric_summary(name)) for name in METRICS]
    if kind not in _CHOICE_OF:
        raise ConfigError(
            f"{kind!r} cannot be listed",
            where="distrain list",
            expected="a kind of names that a configuration may use",
            mend=did_you_mean(kind, KINDS, listed="There are"),
        )
    schema = Settings.model_json_schema()
    definitions = schema["$defs"]
    options = options_of(_at(schema, _CHOICE_OF[kind]), definitions)
    return [_entry(option, definitions) for option in options if own_name(option)]


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a configuration file, short forms among it."""
    schema = Settings.model_json_schema()
    definitions = schema["$defs"]
    for path in CHOICES:
        options = list(options_of(_at(schema, path), definitions))
        _allow_words(_at(schema, path), options)
        for option in options:
            if own_name(option) in FILLED_IN:
                option["required"].remove("name")
    earlier = definitions["EarlierSearch"]["properties"]["search"]
    _at(schema, ("tune", "start_from"))["anyOf"].append(earlier)
    source = definitions["InitSettings"]["properties"]["source"]
    for model in ("LinearSettings", "MlpSettings", "CnnSettings", "TargetSettings"):
        definitions[model]["properties"]["init_from"]["anyOf"].append(source)
    features = definitions["DataSettings"]["properties"]["features"]
    kinds = definitions["FeatureSettings"]["properties"]["kind"]
    words = [word for option in options_of(kinds, definitions) for word in names_of(option)]
    features["additionalProperties"] = {
        "anyOf": [{"enum": words}, features["additionalProperties"]]
    }
    schema["required"].remove("model")
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "distrain configuration",
    }
    return head | {key: value for key, value in schema.items() if key != "title"}


def _at(schema: Schema, path: KeyPath) -> dict[str, Any]:
    """Return the schema, as it stands, of the property at a path."""
    found: Any = schema
    for key in path:
        option = next(iter(options_of(found, schema["$defs"])))
        found = option["properties"][key]
    inner: dict[str, Any] = found
    return inner


def _allow_words(schema: Schema, options: list[Schema]) -> None:
    """Let a word stand for {name: word} or {target: word}, in place.

    Unions become `anyOf` without a discriminator, which would not let `name` be left out.
    """
    named = [schema.pop(key) for key in ("anyOf", "oneOf") if key in schema]
    schema.pop("discriminator", None)
    for option in (option for union in named for option in union if "oneOf" in option):
        option["anyOf"] = option.pop("oneOf")
        option.pop("discriminator", None)
    words: list[Schema] = [{"enum": [name for option in options if (name := own_name(option))]}]
    words += [
        option["properties"]["target"]
        for option in options
        if "target" in option.get("properties", {})
    ]
    schema["anyOf"] = [*words, *(option for union in named for option in union)]


def _entry(option: Schema, definitions: Schema) -> Entry:
    properties = option["properties"]
    arguments = tuple(
        Argument(key, expected(value, definitions), value.get("default"), value["description"])
        for key, value in properties.items()
        if key not in ("name", "init_from")  # which every model may have
    )
    return Entry(properties["name"]["const"], option["description"], arguments)


def _metric_summary(name: str) -> str:
    entry = METRICS[name]
    better = "less" if entry.mode == "min" else "more"
    default = "; computed by default" if entry.is_default else ""
    return f"{entry.summary} ({' and '.join(entry.tasks)}; {better} is better{default})"
