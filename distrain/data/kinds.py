"""What each column is to the model: a number, a category, an image, an id, or nothing."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

from distrain.config.data import DataSettings, FeatureSettings, Source
from distrain.data.bag_of_words import WordPlan
from distrain.data.column_plan import DEFAULT_MAX_CATEGORIES, ColumnPlan
from distrain.data.column_scan import ColumnScan
from distrain.data.findings import Finding
from distrain.errors import DataError

_SHOWN_COLUMNS: Final = 8
_EXPLAINED: Final = {
    "empty-column": "no row has a value; left out",
    "constant-column": "every row has the same value; left out",
    "id-like-column": "nearly every row has a text of its own; taken as an id, passed through to "
    "predictions (data.features says otherwise: categorical)",
    "text-column": "nearly every row has a text of several words; taken as a bag of words "
    "(data.features says otherwise: categorical, id or drop)",
    "row-number-column": "it counts the rows; taken as an id, passed through to predictions "
    "(data.features says otherwise: numeric)",
    "rising-column": "each value is larger than the one before, as in a counter; it is a feature "
    "(data.features: id or drop, if it is none)",
}


@final
@dataclass(frozen=True)
class Columns:
    """What all columns are.

    Args:
        features: those that the model gets, in the order of the source.
        ids: those that are passed through to predictions.
        findings: why some are not what one might have thought.
    """

    features: tuple[ColumnPlan, ...]
    ids: tuple[str, ...]
    findings: tuple[Finding, ...]


def plan_columns(data: DataSettings, scans: Mapping[str, ColumnScan]) -> Columns:
    """Return what each column of the source is, inferred where `data.features` does not say.

    Args:
        data: the configuration.
        scans: every column that is read, over the whole source, in the order of the source.

    Raises:
        DataError: no feature is left, or an image stands beside another.
    """
    reserved = {*target_names(data), data.weight}
    if data.split.column is not None and data.split.column not in data.features:
        reserved.add(data.split.column)
    features, ids, findings = [], [], []
    for name, scan in scans.items():
        if name in reserved:
            continue
        wish = data.features.get(name, FeatureSettings())
        kind, found = _kind(scan, wish.kind)
        if found is not None:
            findings.append(Finding(found, name, _EXPLAINED[found], scan.num_rows))
        if kind == "id":
            ids.append(name)
        elif kind != "drop":
            features.append(_column_plan(name, kind, scan.type, wish))
    features, besides = _images_alone(features)
    findings.extend(besides)
    if not features:
        raise _no_feature(data, findings)
    return Columns(tuple(features), tuple(ids), tuple(findings))


def _no_feature(data: DataSettings, findings: Sequence[Finding]) -> DataError:
    """Return the error that says what became of each column."""
    asked = [
        f"{name!r}: data.features says {wish.kind}"
        for name, wish in data.features.items()
        if wish.kind in ("id", "drop")
    ]
    found = [f"{each.column!r}: {each.message.partition(';')[0]}" for each in findings]
    told = "; ".join([*asked, *found][:_SHOWN_COLUMNS])
    return DataError(
        f"no feature is left ({told})" if told else "no feature is left: the target stands alone",
        where="data.source",
        expected="at least one column beside the target that tells rows apart",
        mend="Say what a column is under data.features, or add columns.",
    )


def target_names(data: DataSettings) -> tuple[str, ...]:
    """Return the target columns as a tuple, one or several."""
    return (data.target,) if isinstance(data.target, str) else tuple(data.target or ())


def source_of(data: DataSettings) -> Source:
    """Return the source of data that is in files."""
    assert data.source is not None, "where there is no source, there is a dataset"
    return data.source


def _kind(scan: ColumnScan, wished: str | None) -> tuple[str, str | None]:
    """Return a column's kind, and the kind of finding if that needs to be told."""
    if wished is not None:
        return wished, None
    if not scan.num_present:
        return "drop", "empty-column"
    if scan.is_constant:
        return "drop", "constant-column"
    if scan.type == "string":
        if scan.is_prose:
            return "text", "text-column"
        return ("id", "id-like-column") if scan.is_nearly_unique else ("categorical", None)
    if scan.type == "int64" and scan.is_row_number:
        return "id", "row-number-column"
    kind = {"bool": "boolean", "image": "image"}.get(scan.type, "numeric")
    rises = scan.type == "int64" and scan.is_rising and scan.num_rows >= 20
    return kind, "rising-column" if rises else None


def _column_plan(name: str, kind: str, type_: str, wish: FeatureSettings) -> ColumnPlan:
    return ColumnPlan(
        name,
        kind,
        "bool" if kind == "boolean" else type_,
        wish.missing if wish.missing is not None else "median",
        wish.scale or "standard",
        wish.max_categories or DEFAULT_MAX_CATEGORIES,
        WordPlan(
            wish.max_words or WordPlan.max_words,
            wish.ngrams or WordPlan.ngrams,
            wish.weighting or WordPlan.weighting,
        ),
    )


def _images_alone(
    features: Sequence[ColumnPlan],
) -> tuple[list[ColumnPlan], Iterator[Finding]]:
    """Return an image as the only feature where there is one, and what is left out for it."""
    images = [feature for feature in features if feature.kind == "image"]
    if len(images) > 1:
        raise DataError(
            f"there are {len(images)} image columns",
            where=", ".join(image.name for image in images),
            expected="one",
            mend="Drop the others under data.features.",
        )
    if not images:
        return list(features), iter(())
    others = [feature for feature in features if feature.kind != "image"]
    text = "left out: the model's input is the image alone"
    return images, (Finding("beside-image", other.name, text, 0) for other in others)
