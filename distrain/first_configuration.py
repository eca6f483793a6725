"""`distrain init`: a commented configuration that trains at once, from a file's beginning.

What is inferred stands there as a comment, so that it can be seen and changed; what is not
commented out is what the file alone does not say. It is loaded, and held against the data, before
it gets its name.
"""

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

from distrain.config.data import DataSettings, ReadSettings
from distrain.config.load import load_settings
from distrain.config.names import BUILT_IN_PREFIX, is_uri
from distrain.config.tree import run_name
from distrain.data.checking import check_settings, likely_delimiter, quick_check
from distrain.data.column_scan import ColumnScan
from distrain.data.features import label_text
from distrain.data.files import reading
from distrain.data.findings import Finding
from distrain.data.opening import open_listed
from distrain.data.opening_text import HEAD_BYTES
from distrain.data.sample import sample_survey
from distrain.data.sources import list_source
from distrain.data.survey import Survey
from distrain.data.text_files import encoding_seen
from distrain.errors import ConfigError, DataError
from distrain.predictions_file import check_out, new_file

_DEMO: Final = f"{BUILT_IN_PREFIX}digits"
# What a column that is to be predicted is often called.
_USUAL_TARGETS: Final = ("target", "label", "class", "y", "outcome", "response", "result")
_SHOWN_COLUMNS: Final = 100
_SHOWN_CLASSES: Final = 6
_SHOWN_LETTERS: Final = 40
# Text that YAML takes for itself, but for the words below.
_PLAIN: Final = re.compile(r"[A-Za-z_./][A-Za-z0-9_./-]*( [A-Za-z0-9_./-]+)*")
_RESERVED: Final = ("true", "false", "null", "yes", "no", "on", "off", "y", "n")


@final
@dataclass(frozen=True)
class InitResult:
    """A configuration that was written.

    Attributes:
        out: the file, absolute.
        task: what it trains for.
        target: what is predicted.
    """

    out: Path
    task: str
    target: str

    def to_json(self) -> dict[str, Any]:
        """Return the object of `--json`."""
        return {"out": str(self.out), "task": self.task, "target": self.target}


def write_first_configuration(source: str | None, target: str | None, out: Path) -> InitResult:
    """Write a first configuration.

    Args:
        source: path, glob, directory, URI or built-in name; None: the demo's data.
        target: the column to predict.
        out: new file to write.

    Raises:
        ConfigError: the file cannot be written, or no column was named; with the columns there are.
        DataError: the source is not there, cannot be read, or is not fit to learn from.
    """
    out = check_out(out, (".yaml", ".yml"))
    if source is None and target is not None:
        raise ConfigError(
            "a column to predict was named, but no file",
            where=f"--target {target}",
            expected="--from FILE beside it",
            mend=f"For example: distrain init --from data.csv --target {target}",
        )
    surveyed = _look(source or _DEMO, target if source else "target")
    text = "\n".join(_lines(surveyed, _source_text(source or _DEMO, out.parent), out)) + "\n"
    with new_file(out) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
        quick_check(load_settings([unfinished]).data)
    return InitResult(out, surveyed.target.task, surveyed.target.names[0])


def _look(source: str, target: str | None) -> Survey:
    """Return what the beginning of a source holds, read as it seems to be written."""
    listing, read = list_source(_absolute(source)), ReadSettings()
    is_delimited = listing.format in ("csv", "tsv")
    try:
        opened = open_listed(listing, read)
    except DataError:
        with reading(listing.files):
            seen = encoding_seen(listing.files[0], HEAD_BYTES) if is_delimited else None
        if seen is None:
            raise
        read = ReadSettings(encoding=seen)
        opened = open_listed(listing, read)
    delimiter = likely_delimiter(opened.reading.columns)
    if delimiter is not None and is_delimited:
        read = read.model_copy(update={"delimiter": delimiter})
        opened = open_listed(listing, read)
    if target is None:
        raise _no_target(source, opened.reading.columns)
    data = DataSettings(source=_absolute(source), target=target, read=read)
    check_settings(data, opened)
    return sample_survey(data, opened.listing)


def _no_target(source: str, columns: Sequence[str]) -> ConfigError:
    usual = [name for name in columns if name.casefold() in _USUAL_TARGETS]
    guess = usual[0] if usual else columns[-1]
    shown = ", ".join(map(repr, columns[:_SHOWN_COLUMNS]))
    more = f" and {len(columns) - _SHOWN_COLUMNS:,} more" if len(columns) > _SHOWN_COLUMNS else ""
    why = "by its name" if usual else "since it is the last"
    return ConfigError(
        "no column to predict was named",
        where="--target",
        expected=f"one of the columns {shown}{more}",
        mend=f"Is it {guess!r}, {why}? distrain init --from {source} --target {guess!r}",
    )


def _lines(surveyed: Survey, source: str, out: Path) -> Iterator[str]:
    data, num_rows = surveyed.data, surveyed.source.num_rows
    target = surveyed.target
    yield f"# Made by `distrain init` from the first {num_rows:,} rows of the data."
    yield "# What is commented out happens anyway, but for goals: take the # away to change it."
    yield f"# Train: distrain train {out.name}   All keys: distrain schema"
    stem = Path(source.removeprefix(BUILT_IN_PREFIX)).name.partition(".")[0]
    yield f"name: {_word(run_name(stem))}"
    yield "data:"
    yield f"  source: {_word(source)}"
    told = {"delimiter": data.read.delimiter, "encoding": data.read.encoding}
    read = [f"{key}: {_word(text)}" for key, text in told.items() if text and text != "utf-8"]
    if read:
        yield f"  read: {{{', '.join(read)}}}"
    yield f"  target: {_word(target.names[0])}   # {_target_text(surveyed)}"
    yield f"  # task: {target.task}"
    if target.positive is not None:
        name = _word(label_text(target.classes[target.positive]))
        yield f"  # positive: {name}   # the class that f1, precision and recall speak of"
    yield from _feature_lines(surveyed)
    kind = "stratified" if target.task == "classification" else "random"
    yield f"  # split: {{kind: {kind}, validation: 0.1, test: 0.1}}"
    image = any(plan.kind == "image" for plan in surveyed.columns.features)
    yield (
        "# model: {name: cnn}" if image else "# model: {name: mlp, hidden: [256, 256], dropout: 0}"
    )
    yield "# train:"
    yield "#   epochs: 20   # unless this is given, fewer where validation/loss gets no better"
    yield "#   global_batch_size: 256"
    yield "#   optimizer: {name: adamw, lr: 1e-3, weight_decay: 0.01}"
    yield "# evaluate:"
    goal = "test/accuracy: '>= 0.9'" if target.task == "classification" else "test/r2: '>= 0.5'"
    yield f"#   goals: {{{goal}}}   # none; unmet ones end with exit code 3"


def _feature_lines(surveyed: Survey) -> Iterator[str]:
    """Yield what each column is taken for, and what was found in it."""
    columns, scans = surveyed.columns, surveyed.source.columns
    kinds = {plan.name: plan.kind for plan in columns.features} | dict.fromkeys(columns.ids, "id")
    found = {finding.column: finding for finding in columns.findings}
    named = [name for name in scans if name not in surveyed.target.names]
    yield "  # features:   # numeric, categorical, boolean, id (kept for predictions) or drop"
    for name in named[:_SHOWN_COLUMNS]:
        told = _column_text(scans[name], found.get(name))
        yield f"  #   {_word(name)}: {kinds.get(name, 'drop')}   # {told}"
    if len(named) > _SHOWN_COLUMNS:
        yield f"  #   # and {len(named) - _SHOWN_COLUMNS:,} columns more"


def _column_text(scan: ColumnScan, finding: Finding | None) -> str:
    if not scan.num_present:
        return "no value in any of these rows"
    parts = []
    if scan.type == "string":
        parts.append(f"text, {scan.num_distinct:,} different")
    elif scan.low <= scan.high:
        parts.append(f"{scan.type}, {scan.low:g} to {scan.high:g}")
    else:
        parts.append(scan.type)
    if scan.num_missing:
        parts.append(f"{scan.num_missing / scan.num_rows:.1%} missing")
    if finding is not None:
        parts.append(finding.kind)
    return ", ".join(parts)


def _target_text(surveyed: Survey) -> str:
    target = surveyed.target
    if target.task == "regression":
        scan = surveyed.source.columns[target.names[0]]
        return f"numbers, {scan.low:g} to {scan.high:g}"
    ranked = sorted(target.counts.items(), key=lambda item: (-item[1], item[0]))
    shown = ", ".join(f"{_short(name)} ({rows:,})" for name, rows in ranked[:_SHOWN_CLASSES])
    more = ", ..." if len(ranked) > _SHOWN_CLASSES else ""
    return f"{len(ranked)} classes: {shown}{more}"


def _word(text: str) -> str:
    """Return text as YAML has it, in quotes where it needs them."""
    is_plain = _PLAIN.fullmatch(text) is not None and text.lower() not in _RESERVED
    return text if is_plain else json.dumps(text, ensure_ascii=not text.isprintable())


def _short(text: str) -> str:
    """Return text that stays on its line of a comment."""
    shown = text if len(text) <= _SHOWN_LETTERS else f"{text[:_SHOWN_LETTERS]}..."
    return shown if shown.isprintable() else json.dumps(shown)


def _absolute(source: str) -> str:
    if is_uri(source) or source.startswith(BUILT_IN_PREFIX):
        return source
    return str(Path(source).expanduser().absolute())


def _source_text(source: str, folder: Path) -> str:
    """Return a source as the configuration names it, which is relative to its own folder."""
    absolute = _absolute(source)
    return absolute if absolute == source else os.path.relpath(absolute, folder)
