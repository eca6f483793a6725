"""Checks on where rows come from: files, or torch Datasets of the user's own; never both."""

from collections.abc import Iterator
from typing import Final

from distrain.config.data import OF_DATASETS, DataSettings
from distrain.config.explain import MISSING
from distrain.config.faults import Fault
from distrain.config.settings import Settings

_OF_FILES: Final = (
    "source", "test_source", "format", "read", "labels", "weight", "features", "clean", "ingest",
)  # fmt: skip


def check_dataset(settings: Settings) -> Iterator[Fault]:
    """Yield what is missing of files or a Dataset, or stands beside the other of the two."""
    if settings.data.dataset is None:
        yield from _without_dataset(settings.data)
        return
    yield from _beside_dataset(settings.data)
    if settings.track.register_.alias is not None:
        yield Fault(
            "track.register.alias stands beside data.dataset; versions are compared on raw test "
            "rows, which a Dataset does not have",
            (("track", "register", "alias"), ("data", "dataset")),
            mend="Leave it out; `distrain promote MODEL --alias ALIAS --force REASON` gives it",
        )


def check_step(settings: Settings) -> Iterator[Fault]:
    """Yield what a step of the user's own stands beside, and takes the place of."""
    train = settings.train
    if train.step is None:
        return
    here = ("train", "step")
    if settings.data.dataset is None:
        yield Fault(
            "train.step needs data.dataset, whose batches it is given",
            (here, ("data", "dataset")),
            mend="Give a Dataset, or train.loss, which takes outputs and targets",
        )
    beside = {
        ("train", "loss"): train.loss is not None,
        ("evaluate", "metrics"): settings.evaluate.metrics is not None,
        ("train", "compile"): train.compile,
    }
    for key, is_given in beside.items():
        if is_given:
            told = f"{'.'.join(key)} stands beside train.step, which does all of a step by itself"
            yield Fault(told, (key, here), mend="Leave one of them out")
    if train.strategy == "fsdp":
        yield Fault(
            "train.strategy = fsdp stands beside train.step, which may call the model in any way",
            (("train", "strategy"), here),
            mend="Use strategy: ddp",
        )


def _without_dataset(data: DataSettings) -> Iterator[Fault]:
    for key in ("source", "target"):
        here = ("data", key)
        if getattr(data, key) is None:
            yield Fault(f"data.{key} is missing", (here,), mend=MISSING[here])
    for key in OF_DATASETS:
        if getattr(data, key) not in (None, 0):
            told = f"data.{key} has no effect without data.dataset"
            yield Fault(told, (("data", key),), mend="Leave it out, or give data.dataset, too")


def _beside_dataset(data: DataSettings) -> Iterator[Fault]:
    usual = DataSettings()
    for key in _OF_FILES:
        if getattr(data, key) != getattr(usual, key):
            yield Fault(
                f"data.{key} stands beside data.dataset; it is for files",
                (("data", key), ("data", "dataset")),
                mend="Keep one of the two",
            )
    if isinstance(data.target, list):
        yield Fault(
            "data.target lists columns; of a Dataset's item it names the one key of y",
            (("data", "target"),),
            mend="Name one key, or leave it out",
        )
    if data.split.kind not in (None, "random"):
        yield Fault(
            f"data.split.kind = {data.split.kind} needs columns, which a Dataset does not have",
            (("data", "split", "kind"), ("data", "dataset")),
            mend="Use random, or give validation_dataset and test_dataset",
        )
    yield from _split_twice(data)
    if data.task == "regression" and data.num_classes is not None:
        told = "data.num_classes speaks of classes, but data.task says regression"
        yield Fault(told, (("data", "num_classes"), ("data", "task")), mend="Leave one of them out")


def _split_twice(data: DataSettings) -> Iterator[Fault]:
    asked = data.split.model_fields_set
    fractions = {"validation": data.split.validation, "test": data.split.test or 0.0}
    for name, fraction in fractions.items():
        if name in asked and fraction and getattr(data, f"{name}_dataset") is not None:
            yield Fault(
                f"data.split.{name} = {fraction:g} stands beside data.{name}_dataset, whose rows "
                "are the split",
                (("data", "split", name), ("data", f"{name}_dataset")),
                mend="Leave one of them out",
            )
