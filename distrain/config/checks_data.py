"""Checks between the values of `data:`, and between them and the task."""

from collections.abc import Iterator, Sequence

from distrain.config.data import FeatureSettings, IdxSource, ReadSettings, Source
from distrain.config.defaults import effective_test_fraction, stated_task
from distrain.config.faults import Fault
from distrain.config.names import BUILT_IN_PREFIX, LOSS_TASKS, format_named, is_text_encoding
from distrain.config.settings import Settings

_BY_COLUMN = ("group", "time", "hash", "fixed")
_DELIMITED = ("csv", "tsv")
_WITH_IMAGES = ("images", "parquet", "arrow")
_READ_FORMATS = {
    "header": _DELIMITED,
    "names": (*_DELIMITED, "npy"),
    "na_values": _DELIMITED,
    "encoding": (*_DELIMITED, "json", "jsonl", "text"),
    "delimiter": _DELIMITED,
    "strip": _DELIMITED,
    "arrays": ("npz",),
    "example": ("text",),
    "size": _WITH_IMAGES,
    "channels": _WITH_IMAGES,
}
_FEATURE_KINDS = {
    "missing": ("numeric", "boolean", "calendar"),
    "scale": ("numeric",),
    "max_categories": ("categorical",),
    "max_words": ("text",),
    "ngrams": ("text",),
    "weighting": ("text",),
}


def check_split(settings: Settings) -> Iterator[Fault]:
    """Yield what is wrong with how rows are divided."""
    split, has_test_source = settings.data.split, settings.data.test_source is not None
    here = ("data", "split")
    test = effective_test_fraction(settings.data)
    if has_test_source and test > 0:
        yield Fault(
            f"data.split.test = {test} stands beside data.test_source, which is the test split",
            ((*here, "test"), ("data", "test_source")),
            mend="Leave out one of them",
        )
    elif split.validation + test >= 1:
        yield Fault(
            f"data.split.validation = {split.validation} and data.split.test = {test} leave no "
            "rows to train on",
            ((*here, "validation"), (*here, "test")),
            expected="a sum below 1",
        )
    if split.kind in _BY_COLUMN and split.column is None:
        yield Fault(
            f"data.split.kind = {split.kind} needs to know a column",
            ((*here, "kind"), (*here, "column")),
            mend="Add data.split.column",
        )
    if split.kind not in _BY_COLUMN and split.column is not None:
        yield Fault(
            f"data.split.column = {split.column!r} has no effect on a {split.kind or 'random'} "
            "split",
            ((*here, "column"), (*here, "kind")),
            mend="Leave it out, or set data.split.kind to group, time, hash or fixed",
        )


def check_task(settings: Settings) -> Iterator[Fault]:
    """Yield what does not fit the task that is stated."""
    task, why = stated_task(settings)
    data = settings.data
    if data.task == "classification" and isinstance(data.target, list) and len(data.target) > 1:
        yield Fault(
            f"data.target names {len(data.target)} columns; classification has one target",
            (("data", "target"), ("data", "task")),
            mend="Train one model for each",
        )
    if task == "regression":
        for key in ("positive", "labels"):
            if getattr(data, key) is not None:
                told = f"data.{key} speaks of classes, but {why} says regression"
                yield Fault(told, (("data", key), ("data", "task")), mend=f"Leave out data.{key}")
        if data.split.kind == "stratified":
            yield Fault(
                f"data.split.kind = stratified divides by class, but {why} says regression",
                (("data", "split", "kind"), ("data", "task")),
                mend="Use random",
            )
    name = getattr(settings.train.loss, "name", None)
    if task is not None and name is not None and LOSS_TASKS[name] != task:
        fitting = ", ".join(loss for loss, of in LOSS_TASKS.items() if of == task)
        yield Fault(
            f"train.loss.name = {name} is for {LOSS_TASKS[name]}, but {why} says {task}",
            (("train", "loss", "name"), ("data", "task")),
            mend=f"For {task} use {fitting}",
        )


def check_columns(settings: Settings) -> Iterator[Fault]:
    """Yield columns that are asked to be two things at once."""
    data = settings.data
    targets = data.target if isinstance(data.target, list) else [data.target or ""]
    for target in dict.fromkeys(targets):
        if targets.count(target) > 1:
            told = f"data.target names {target!r} {targets.count(target)} times"
            yield Fault(told, (("data", "target"),), mend="Name each column once")
        if target in data.features:
            told = f"data.features.{target} is the target, which is no feature"
            yield Fault(told, (("data", "features", target),), mend="Leave it out here")
    if data.weight in targets:
        told = f"data.weight = {data.weight!r} is also the target"
        yield Fault(told, (("data", "weight"), ("data", "target")), mend="Name another column")
    weight = data.features.get(data.weight or "")
    if weight is not None and weight.kind != "drop":
        told = f"data.features.{data.weight} holds the row weights, which are no feature"
        here = (("data", "features", data.weight or ""), ("data", "weight"))
        yield Fault(told, here, mend="Leave it out here")
    for column, feature in data.features.items():
        yield from _feature_faults(column, feature)


def _feature_faults(column: str, feature: FeatureSettings) -> Iterator[Fault]:
    for key, kinds in _FEATURE_KINDS.items():
        if feature.kind not in (None, *kinds) and getattr(feature, key) is not None:
            here = ("data", "features", column)
            yield Fault(
                f"data.features.{column}.{key} has no effect on kind {feature.kind}",
                ((*here, key), (*here, "kind")),
                mend=f"Leave it out; it is for kind {_listed(kinds)}",
            )


def check_read(settings: Settings) -> Iterator[Fault]:
    """Yield what `data.read` says and files of that kind cannot follow."""
    data = settings.data
    kinds = {data.format or _format_of(source) for source in (data.source, data.test_source)}
    kinds -= {""}
    usual = ReadSettings()
    for key in ReadSettings.model_fields:
        fitting = _READ_FORMATS[key]
        if kinds and not kinds & set(fitting) and getattr(data.read, key) != getattr(usual, key):
            told = f"data.read.{key} has no effect on {' and '.join(sorted(kinds))}"
            mend = f"Leave it out; it is for {_listed(fitting)}"
            yield Fault(told, (("data", "read", key),), mend=mend)
    names = data.read.names or []
    for name in dict.fromkeys(names):
        if names.count(name) > 1:
            told = f"data.read.names has {name!r} {names.count(name)} times"
            yield Fault(told, (("data", "read", "names"),), mend="Name each column once")
    if not is_text_encoding(data.read.encoding):
        told = f"data.read.encoding = {data.read.encoding!r} is no encoding that Python knows"
        yield Fault(told, (("data", "read", "encoding"),), mend="Try utf-8, latin-1 or cp1252")


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _format_of(source: Source | None) -> str:
    if source is None:
        return ""
    if isinstance(source, IdxSource):
        return "idx"
    name = source[0] if isinstance(source, list) else source
    return "built-in data" if name.startswith(BUILT_IN_PREFIX) else format_named(name) or ""
