"""Text as a bag of words: one number for each word of a vocabulary that training rows have.

A word is a run of letters, digits and underscores, in lower case. With `ngrams` above 1, words that
follow each other count as words, too. Weights are those of scikit-learn's `TfidfVectorizer`: the
count of a word in the text x (1 + log((1 + texts) / (1 + texts with the word))), and the whole text
at length 1.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from distrain.data.columns import TextRules, as_text

_WORD: Final = re.compile(r"\w+")

Floats32 = npt.NDArray[np.float32]


@final
@dataclass(frozen=True)
class WordPlan:
    """How a text becomes words.

    Args:
        max_words: how many words have a place, those in most texts.
        ngrams: up to so many words that follow each other count as one.
        weighting: `tfidf`, or `counts` of each word as they are.
    """

    max_words: int = 2_000
    ngrams: int = 1
    weighting: str = "tfidf"

    def weights(self, counts: Sequence[int], num_texts: int) -> tuple[float, ...]:
        """Return what the counts of each word in a text are multiplied by.

        Args:
            counts: texts that have the word, for each word.
            num_texts: how many texts there are.
        """
        if self.weighting == "counts":
            return ()
        return tuple(1 + math.log((1 + num_texts) / (1 + count)) for count in counts)


def words_of(text: str, ngrams: int) -> Iterator[str]:
    """Yield the words of a text, and its runs of up to `ngrams` words, in order, with repeats."""
    words = _WORD.findall(text.lower())
    yield from words
    for length in range(2, ngrams + 1):
        for start in range(len(words) - length + 1):
            yield " ".join(words[start : start + length])


def texts_with_words(texts: pa.Array, ngrams: int) -> dict[str, int]:
    """Return for each word how many texts have it; null has none.

    Args:
        texts: text, `(n,)`.
        ngrams: as in `words_of`.
    """
    counts: Counter[str] = Counter()
    for text in texts.drop_null().to_pylist():
        counts.update(set(words_of(text, ngrams)))
    return dict(counts)


@final
@dataclass(frozen=True)
class TextFeature:
    """A text as a number for each known word.

    Args:
        name: the raw column.
        type_: the raw column's type.
        words: the known words, those of most texts first.
        weights: what the count of each is multiplied by before the text is brought to length 1;
            empty: counts stay as they are.
        ngrams: as in `words_of`.
    """

    name: str
    type_: str
    words: tuple[str, ...]
    weights: tuple[float, ...] = ()
    ngrams: int = 1

    @property
    def feature_names(self) -> list[str]:
        """Return the names of the features this column becomes."""
        return [f"{self.name}: {word}" for word in self.words]

    def write(self, column: pa.Array, rules: TextRules, out: Floats32) -> None:
        """Write the features of a column into `out`, shape `(n, len(feature_names))`, zeroed."""
        places = {word: place for place, word in enumerate(self.words)}
        texts = as_text(column, self.name, self.type_, rules).to_pylist()
        for row, text in enumerate(texts):
            if text is not None:
                found = Counter(
                    places[word] for word in words_of(text, self.ngrams) if word in places
                )
                out[row, list(found)] = self._weighted(found)

    def _weighted(self, found: Mapping[int, int]) -> list[float]:
        if not self.weights:
            return list(found.values())
        values = [count * self.weights[place] for place, count in found.items()]
        length = math.sqrt(math.fsum(value * value for value in values))
        return [value / length for value in values]

    def to_json(self) -> dict[str, Any]:
        """Return this feature as plain JSON."""
        return {
            "kind": "text", "name": self.name, "type": self.type_, "words": list(self.words),
            "weights": list(self.weights), "ngrams": self.ngrams,
        }  # fmt: skip
