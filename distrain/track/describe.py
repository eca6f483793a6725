"""A run in the words of its record: parameters, datasets and short texts. Pure.

What enters are plain JSON values (the resolved configuration, a prepared dataset's manifest, the
final metrics); what leaves is what the journal takes.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from distrain.redaction import without_credentials
from distrain.track.markdown import plain

MAX_PARAM_LENGTH = 500
NEWEST = "latest"
"""Stands for a version's number, until it has one."""
MAX_SHOWN_FILES = 20

# What MLflow takes. A table with another name in it, such as the class `>50K`, is one parameter.
_PARAM_NAME = re.compile(r"[/\w.\- :]+")

# Sections that define a run, and what in them does not.
_PARAM_SECTIONS = ("seed", "data", "model", "train", "tune")
_NOT_PARAMS = (
    "data.read",
    "data.features",
    "data.cache",
    "data.labels",
    "data.positive",
    "train.resources_per_worker",
    "train.checkpoint",
    "train.max_failures",
    "train.ledger",
)
_COLUMN_TYPES = {
    "bool": "boolean",
    "int64": "long",
    "uint32": "long",
    "int32": "integer",
    "int16": "integer",
    "int8": "integer",
    "uint16": "integer",
    "uint8": "integer",
    "double": "double",
    "float": "float",
    "halffloat": "float",
    "binary": "binary",
}


def run_params(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the parameters that define a run, by dotted name, each formatted once and for all.

    Args:
        config: the resolved configuration as plain JSON values; what is null is left out.
    """
    chosen = {name: config[name] for name in _PARAM_SECTIONS if name in config}
    return {
        name: _formatted(value)
        for name, value in _flattened(chosen)
        if value is not None and not name.startswith(_NOT_PARAMS)
    }


def assignment_params(assignment: Mapping[str, Any]) -> dict[str, str]:
    """Return the parameters of a trial, as `run_params` returns them of its whole configuration.

    Args:
        assignment: dotted path into the configuration to its value there.
    """
    params: dict[str, str] = {}
    for path, value in assignment.items():
        nested = value
        for name in reversed(path.split(".")):
            nested = {name: nested}
        params |= run_params(nested)
    return params


def dataset_facts(name: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a prepared dataset is, as the journal records it.

    Args:
        name: what to call it; the run's experiment.
        manifest: the prepared dataset's manifest.

    Returns:
        `name`, `digest` (64 hex), `sources` (URIs), `files` (the first sources with `uri`,
        `num_bytes`, `num_rows` and `sha256`), `schema` (raw column to MLflow type), `splits` (name
        to number of rows; empty ones left out), `tensors` (name to dtype and shape), `profile` (by
        column) and `findings`.
    """
    transform = manifest.get("transform", {})
    types: Mapping[str, str] = transform.get("column_types", {})
    splits = {split: facts["num_rows"] for split, facts in manifest["splits"].items()}
    files = [
        {**source, "uri": without_credentials(str(source["uri"]))}
        for source in manifest.get("sources", [])
    ]
    return {
        "name": name,
        "digest": manifest["digest"],
        "sources": [file["uri"] for file in files],
        "files": files[:MAX_SHOWN_FILES],
        "schema": {column: column_type(arrow) for column, arrow in types.items()},
        "splits": {split: num_rows for split, num_rows in splits.items() if num_rows},
        "tensors": manifest.get("columns", {}),
        "profile": manifest.get("profile", {}),
        "findings": manifest.get("findings", []),
    }


def column_type(arrow: str) -> str:
    """Return MLflow's name for a column type, from Arrow's; what it has no name for is text."""
    return (
        "datetime"
        if arrow.startswith(("timestamp", "date"))
        else _COLUMN_TYPES.get(arrow, "string")
    )


def run_note(facts: Mapping[str, Any], metrics: Mapping[str, float] | None = None) -> str:
    """Return a short Markdown text about a run, for its page.

    Args:
        facts: what to list, in order, such as `{"Data": "adult.csv, 32,561 rows"}`.
        metrics: final metrics; None: the run is still going on.
    """
    return "\n".join([*fact_lines(facts), "", *metric_table(metrics or {})]).strip()


def fact_lines(facts: Mapping[str, Any]) -> list[str]:
    """Return Markdown lines with names and texts; what has no text is left out."""
    # Two blanks end a line that a paragraph goes on behind.
    return [f"**{name}**: {value}  " for name, value in facts.items() if value]


def load_lines(uri: str) -> list[str]:
    """Return Markdown lines that say how a registered model is loaded, to be pasted.

    Args:
        uri: such as `models:/name/3`.
    """
    return [
        "Raw rows, as they are in the source files, go in:",
        "```python",
        f'model = mlflow.pyfunc.load_model("{uri}")',
        'model.predict(pandas.read_csv("rows.csv"))',
        "```",
    ]


def version_note(name: str, tags: Mapping[str, str], metrics: Mapping[str, float]) -> str:
    """Return the Markdown description of a model version: origin, metrics, how to use it.

    Args:
        name: registered-model name.
        tags: the run's tags.
        metrics: final metrics.
    """
    commit = tags.get("distrain.code.commit", "")
    dirty = " with changes" if tags.get("distrain.code.dirty") == "true" else ""
    facts = {
        "Data": tags.get("distrain.data.sha256"),
        "Configuration": tags.get("distrain.config.sha256"),
        "Commit": f"{commit}{dirty}",
        "Seed": tags.get("distrain.seed"),
        "Made by": tags.get("mlflow.user"),
    }
    use = load_lines(f"models:/{name}/{NEWEST}")
    return "\n".join([run_note(facts, metrics), "", *use])


def metric_table(metrics: Mapping[str, float]) -> list[str]:
    """Return the lines of a Markdown table: a row for each metric, a column for each split."""
    splits = [
        split
        for split in ("train", "validation", "test")
        if any(name.startswith(f"{split}/") for name in metrics)
    ]
    names = list(
        dict.fromkeys(name.partition("/")[2] for name in metrics if _split(name) in splits)
    )
    if not names:
        return []
    rows = [f"| {plain(name)} | {' | '.join(_cells(metrics, splits, name))} |" for name in names]
    return [f"| metric | {' | '.join(splits)} |", "|---|" + "---:|" * len(splits), *rows]


def _split(name: str) -> str:
    return name.partition("/")[0]


def _cells(metrics: Mapping[str, float], splits: Sequence[str], name: str) -> list[str]:
    values = [metrics.get(f"{split}/{name}") for split in splits]
    return ["" if value is None else f"{value:.6g}" for value in values]


def _flattened(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, Mapping) and all(map(_PARAM_NAME.fullmatch, value)):
            flat += _flattened(value, f"{prefix}{name}.")
        else:
            flat.append((f"{prefix}{name}", value))
    return flat


def _formatted(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if len(text) <= MAX_PARAM_LENGTH:
        return text
    mark = f"... ({len(text):,} characters, all of them in config.yaml)"
    return text[: MAX_PARAM_LENGTH - len(mark)] + mark
