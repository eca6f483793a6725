"""JSON Schema and plain values -> the words in which messages and `distrain list` speak of them."""

from collections.abc import Iterator
from typing import Any

from distrain.redaction import redacted

Schema = dict[str, Any]

_LONGEST = 60


def given(value: Any) -> str:
    """Return what came, in words: text 'abc', 3, null, a list, a mapping."""
    if value in (None, ""):
        return "null" if value is None else "empty"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)[:_LONGEST]
    if isinstance(value, str):
        shown = redacted(value)
        return f"text {shown if len(shown) <= _LONGEST else shown[:_LONGEST] + '...'!r}"
    return "a list" if isinstance(value, list) else "a mapping"


def options_of(schema: Schema, definitions: Schema) -> Iterator[Schema]:
    """Yield the schemas of which a value has to fit one, references and nested unions resolved.

    Args:
        schema: a JSON Schema.
        definitions: its `$defs`.
    """
    if "$ref" in schema:
        yield from options_of(definitions[schema["$ref"].rpartition("/")[2]], definitions)
        return
    for key in ("anyOf", "oneOf"):
        for option in schema.get(key, ()):
            yield from options_of(option, definitions)
    if not {"anyOf", "oneOf"} & schema.keys():
        yield schema


def expected(schema: Schema, definitions: Schema) -> str:
    """Return what a value should be, in words: 'a whole number of at least 1 or auto'.

    Args:
        schema: a JSON Schema.
        definitions: its `$defs`.
    """
    words: list[str] = []
    options = list(options_of(schema, definitions))
    names = [name for option in options for name in names_of(option)]
    chosen = sorted(name for option in options if (name := own_name(option)))
    if len(chosen) > 1:
        words.append(f"a name ({', '.join(chosen)}) or a mapping with a name and its arguments")
    for option in options:
        is_open = not names_of(option) and not own_name(option)
        if is_open and option.get("type") != "null":
            words.append(_one(option, definitions))
    if names:
        words.append(names[0] if len(names) == 1 else f"one of {', '.join(names)}")
    if any(option.get("type") == "null" for option in options):
        words.append("null")
    return _either(list(dict.fromkeys(words)))


def names_of(schema: Schema) -> list[str]:
    """Return the words that a schema allows, where it lists them."""
    return [
        str(name) for name in schema.get("enum", [schema["const"]] if "const" in schema else [])
    ]


def own_name(schema: Schema) -> str:
    """Return the `name` that chooses this schema among others, or nothing if it has none."""
    return str(schema.get("properties", {}).get("name", {}).get("const", ""))


def _either(words: list[str]) -> str:
    is_long = any("each" in word for word in words)
    comma, last = ("; ", "; or ") if is_long else (", ", " or ")
    return last.join([comma.join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _one(schema: Schema, definitions: Schema) -> str:
    if "x-expected" in schema:
        return str(schema["x-expected"])
    kind = schema.get("type")
    if kind == "array":
        return _list(schema, definitions)
    if kind == "object":
        return _mapping(schema, definitions)
    if isinstance(kind, list):
        return "text or a number"  # the one such kind, see `base.Word`
    if kind == "string":
        return "text"
    if kind == "boolean":
        return "true or false"
    noun = {"integer": "a whole number", "number": "a number"}.get(str(kind))
    return noun + _range(schema) if noun else "anything"


def _list(schema: Schema, definitions: Schema) -> str:
    if "prefixItems" in schema:
        first = expected(schema["prefixItems"][0], definitions)
        return f"a list of {len(schema['prefixItems'])} values, each {first}"
    least = "at least one value" if schema.get("minItems") else "values"
    return f"a list of {least}, each {expected(schema.get('items', {}), definitions)}"


def _mapping(schema: Schema, definitions: Schema) -> str:
    if "properties" in schema:
        return f"a mapping of {', '.join(sorted(schema['properties']))}"
    inner = schema.get("additionalProperties")
    if not isinstance(inner, dict):
        return "a mapping"
    return f"a mapping of names, each to {expected(inner, definitions)}"


def _range(schema: Schema) -> str:
    low, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    high, below = schema.get("maximum"), schema.get("exclusiveMaximum")
    upper = f" to {high}" if high is not None else f" to below {below}"
    has_upper = high is not None or below is not None
    if low is not None:
        return f" from {low}{upper}" if has_upper else f" of at least {low}"
    if above is not None:
        return f" above {above}" + (
            f" and{upper.replace(' to', ' at most', 1)}" if has_upper else ""
        )
    return ""
