"""`data:` what to train on: where it lies, how it is read, cleaned, split, made into tensors."""

from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field

from distrain.config.base import (
    Fraction,
    ImportPath,
    NonNegativeInt,
    PositiveInt,
    Section,
    Seed,
    Text,
    Word,
)
from distrain.config.names import DATASETS

Delimiter = Annotated[
    str, Field(min_length=1, max_length=1, json_schema_extra={"x-expected": "one character"})
]
Pixels = Annotated[int, Field(ge=1, le=4096)]
HeightAndWidth = Annotated[
    list[Pixels],
    Field(
        min_length=2,
        max_length=2,
        json_schema_extra={"x-expected": "height and width, such as [48, 64]"},
    ),
]
ImageSize = Pixels | HeightAndWidth
Scalar = str | int | float | bool
TextList = Annotated[list[Text], Field(min_length=1)]


class IdxFiles(Section):
    """A pair of IDX files: images and their labels."""

    images: Text = Field(description="IDX file of uint8 images (magic 2051); .gz is read through.")
    labels: Text = Field(description="IDX file of uint8 labels (magic 2049); .gz is read through.")


class IdxSource(Section):
    """A source in IDX format; gives the columns `image` and `label`."""

    idx: IdxFiles = Field(description="The two files.")


Source = Text | IdxSource | TextList


class ReadSettings(Section):
    """`data.read`: how files are read; each key is for the formats that it names."""

    header: bool = Field(
        True, description="csv, tsv: whether the first row holds the column names."
    )
    names: TextList | None = Field(
        None,
        description="csv, tsv, npy: column names, in order; they take the header's place "
        "[the header's; npy: c0, c1, ...].",
    )
    na_values: list[Word] | None = Field(
        None,
        description="csv, tsv: words that mean 'missing', beside the empty field [the usual ones].",
    )
    encoding: Text = Field(
        "utf-8",
        description="csv, tsv, json, jsonl, text: character encoding, by Python's name for it.",
    )
    delimiter: Delimiter | None = Field(
        None,
        description="csv, tsv: one character between fields [',' for .csv, a tab for .tsv; told "
        "from the first rows where the extension is another].",
    )
    strip: bool = Field(
        True, description="csv, tsv: whether white space around names and values is taken off."
    )
    arrays: dict[str, Text] | None = Field(
        None,
        description="npz: columns, each with the array that holds it: {image: x_train, label: "
        "y_train}; of a matrix, a column is made of each of its own, x0, x1, ... [all arrays].",
    )
    example: Literal["file", "line"] = Field(
        "file",
        description="text: whether an example is a whole file, of the class that its folder is "
        "named by, or a line, of the class that its file is named by.",
    )
    size: ImageSize | None = Field(
        None,
        description="images, and those in parquet and arrow: height and width in pixels, or one "
        "number for both, that each is brought to [all have those of the first].",
    )
    channels: Literal[1, 3] | None = Field(
        None, description="As size: 1 for grey images, 3 for coloured ones [as the first has]."
    )


class FeatureSettings(Section):
    """One column under `data.features`."""

    model_config = ConfigDict(
        json_schema_extra={"x-expected": "a kind, such as drop, or a mapping with kind and more"}
    )

    kind: (
        Literal["numeric", "categorical", "boolean", "calendar", "text", "image", "id", "drop"]
        | None
    ) = Field(
        None,
        description="What the column is [inferred]. calendar: a date or time with its place in "
        "day, week and year; text: a bag of words; id: passed through "
        "to predictions; drop: left out.",
    )
    missing: Literal["median", "mean", "zero"] | float | None = Field(
        None, description="What takes a missing number's place [median]."
    )
    scale: Literal["standard", "minmax", "log", "none"] | None = Field(
        None,
        description="How numbers are scaled [standard]. log: sign(x) log(1 + |x|), then standard.",
    )
    max_categories: Annotated[int, Field(ge=1, le=10_000)] | None = Field(
        None, description="How many categories have a place of their own, the most frequent [255]."
    )
    max_words: Annotated[int, Field(ge=1, le=50_000)] | None = Field(
        None,
        description="text: how many words have a place, those in most training rows [2000].",
    )
    ngrams: Annotated[int, Field(ge=1, le=3)] | None = Field(
        None, description="text: up to so many words in a row count as one, too [1]."
    )
    weighting: Literal["tfidf", "counts"] | None = Field(
        None,
        description="text: counts of words as they are, or weighted by how rare a word is, with "
        "each text at length 1 [tfidf].",
    )


class SplitSettings(Section):
    """`data.split`: which rows are for validation and test; a pure function of the source."""

    kind: Literal["random", "stratified", "group", "time", "hash", "fixed"] | None = Field(
        None,
        description="random, stratified by class [for classes], group or hash by a column (rows "
        "with the same value stay together), time: the latest rows by a column are for test, those "
        "before them for validation, or fixed: a column says train, validation or test.",
    )
    validation: Fraction = Field(0.1, description="Fraction of rows for validation, in [0, 1).")
    test: Fraction | None = Field(
        None, description="Fraction of rows for test [0.1; 0 where there is a test_source]."
    )
    seed: Seed = Field(0, description="Seed of the split; apart from the run's seed.")
    column: Text | None = Field(
        None, description="The column that group, time, hash and fixed look at."
    )


class CleanSettings(Section):
    """`data.clean`: what is done to training rows; validation and test rows stay as they are."""

    deduplicate: bool = Field(
        False, description="Whether training rows that repeat an earlier training row are dropped."
    )
    missing: Literal["impute", "drop"] = Field(
        "impute", description="impute: fill in; drop: leave out training rows with a missing value."
    )
    outliers: Literal["keep", "clip", "drop"] = Field(
        "keep",
        description="Numbers further than 10 standard deviations from the training mean: "
        "keep, clip to that bound, or drop the row.",
    )


class CacheSettings(Section):
    """`data.cache`: where prepared data is kept."""

    path: Text | None = Field(
        None,
        description="Folder for prepared data, or a URI (s3://..., gs://...), from which each node "
        "fetches what it reads [<storage>/prepared].",
    )
    local_path: Text | None = Field(
        None,
        description="Folder on each node's own disk for what is fetched from a URI "
        "[distrain-shards-<user id> in the temporary folder].",
    )
    max_bytes: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="What local_path may hold, in bytes; what was used least recently goes first "
        "[unbounded].",
    )


_LATER_READ = {"arrays": None, "example": "file", "size": None, "channels": None}
_LATER_FEATURE = dict.fromkeys(("max_words", "ngrams", "weighting"))


def without_later_defaults(data: dict[str, Any]) -> dict[str, Any]:
    """Return dumped settings of data without the keys that came later, where they say nothing.

    So a digest stays what it was before there were these keys.
    """

    def kept(section: dict[str, Any], later: dict[str, Any]) -> dict[str, Any]:
        return {k: v for k, v in section.items() if k not in later or v != later[k]}

    features = {name: kept(wish, _LATER_FEATURE) for name, wish in data["features"].items()}
    return {**data, "read": kept(data["read"], _LATER_READ), "features": features}


class DatasetTarget(Section):
    """A map-style torch Dataset of the user's own: `__len__` and `__getitem__`."""

    target: ImportPath = Field(
        description="package.module:Class, or a function that gives a Dataset; an item is (x, y), "
        "a tuple that ends with y, or a dict."
    )
    args: dict[str, Any] = Field(
        {},
        description="Keyword arguments of it; text that begins with ./ or ../ is a path beside the "
        "configuration.",
    )
    evaluation_args: dict[str, Any] | None = Field(
        None,
        description="Arguments that take the place of those in args where validation and test rows "
        "are taken from it, such as {augment: false} [none].",
    )


OF_DATASETS: Final = (*DATASETS, "collate", "num_classes", "loader_workers")
"""Keys that say something of Datasets alone."""


class DataSettings(Section):
    """`data`: from files to the splits that a model is trained, validated and tested on."""

    model_config = ConfigDict(
        json_schema_extra={
            "allOf": [{"anyOf": [{"required": ["source", "target"]}, {"required": ["dataset"]}]}]
        }
    )

    source: Source | None = Field(
        None,
        description="Path, glob, directory, URI (file, https, s3, gs), a list of them, "
        "{idx: ...}, or a built-in such as sklearn:digits; or else give dataset.",
    )
    test_source: Source | None = Field(
        None, description="An external holdout: never split from the source, never cleaned."
    )
    format: (
        Literal[
            "csv", "tsv", "json", "jsonl", "parquet", "arrow", "npy", "npz", "images", "text", "idx"
        ]
        | None
    ) = Field(
        None,
        description="What the files are [by their extension]. images: a folder for each class; "
        "text: see read.example. Text is read through .gz, .zst and .bz2.",
    )
    read: ReadSettings = Field(ReadSettings(), description="How files are read.")
    target: Text | TextList | None = Field(
        None,
        description="The column, or columns, to predict; of a dataset whose items are dicts, the "
        "key of y.",
    )
    dataset: DatasetTarget | None = Field(
        None, description="A torch Dataset of your own, in the place of source."
    )
    validation_dataset: DatasetTarget | None = Field(
        None, description="The Dataset of the validation rows [split takes them from dataset]."
    )
    test_dataset: DatasetTarget | None = Field(
        None, description="The Dataset of the test rows [split takes them from dataset]."
    )
    collate: ImportPath | None = Field(
        None,
        description="package.module:function that makes a batch of a list of a dataset's items "
        "[torch's default_collate].",
    )
    num_classes: PositiveInt | None = Field(
        None,
        description="Classes of a dataset [its attributes classes or targets, else all rows are "
        "read once].",
    )
    loader_workers: NonNegativeInt = Field(
        0,
        description="Processes of each worker that read a dataset's items, as DataLoader's "
        "num_workers; 0: the worker itself.",
    )
    task: Literal["classification", "regression"] | None = Field(
        None,
        description="[inferred: text, booleans and integers with at most 20 values are classes]",
    )
    labels: dict[str, Word] | None = Field(
        None, description="Renaming of target values, from what is in the files to what is meant."
    )
    positive: Scalar | None = Field(
        None, description="The class that binary metrics speak of [the rarer one]."
    )
    weight: Text | None = Field(None, description="A column with row weights, not negative.")
    features: dict[str, FeatureSettings] = Field(
        {},
        description="Columns by name; a word alone is their kind: {fnlwgt: drop} [all inferred].",
    )
    split: SplitSettings = Field(SplitSettings(), description="Which rows are for what.")
    clean: CleanSettings = Field(CleanSettings(), description="What is done to training rows.")
    ingest: Literal["prepared", "stream"] = Field(
        "prepared",
        description="prepared: all rows are written once, as tensors. stream: training rows stay "
        "in the source's files and are read from there in every epoch; validation and test rows "
        "are written.",
    )
    cache: CacheSettings = Field(CacheSettings(), description="Where prepared data is kept.")
