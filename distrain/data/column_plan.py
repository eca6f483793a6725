"""What a feature column is to become, before anything is fitted."""

from dataclasses import dataclass, field
from typing import Final, final

from distrain.data.bag_of_words import WordPlan

DEFAULT_MAX_CATEGORIES: Final = 255


@final
@dataclass(frozen=True)
class ColumnPlan:
    """What a feature column becomes.

    Args:
        name: the column.
        kind: `numeric`, `boolean`, `categorical`, `text`, `calendar` or `image`.
        type: its column type.
        missing: what takes a missing number's place: `median`, `mean`, `zero` or a number.
        scale: `standard`, `minmax`, `log` or `none`.
        max_categories: how many categories have a place of their own.
        words: how a text becomes words.
    """

    name: str
    kind: str
    type: str
    missing: str | float = "median"
    scale: str = "standard"
    max_categories: int = DEFAULT_MAX_CATEGORIES
    words: WordPlan = field(default_factory=WordPlan)
