"""Text as a bag of words: fitted on training rows, the weights of scikit-learn."""

import numpy as np
import pyarrow as pa
import pytest
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from distrain.data.bag_of_words import TextFeature, WordPlan, texts_with_words, words_of
from distrain.data.columns import TextRules
from distrain.data.encoders import feature_from_json
from distrain.data.kinds import _kind
from distrain.data.profile import ScanTask
from distrain.data.runs import Run
from distrain.data.statistics import most_frequent

TEXTS = ["The plot is thin, the actors are not.", "Actors! A plot!", "It's a film; naïve, too.", ""]
WORD = r"(?u)\w+"


def fitted(plan: WordPlan) -> TextFeature:
    counts = texts_with_words(pa.array(TEXTS), plan.ngrams)
    found = most_frequent(counts, plan.max_words)
    weights = plan.weights([count for _, count in found], len(TEXTS))
    return TextFeature("review", "string", tuple(word for word, _ in found), weights, plan.ngrams)


def written(
    feature: TextFeature, texts: list[str | None]
) -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
    out = np.zeros((len(texts), len(feature.feature_names)), dtype=np.float32)
    feature.write(pa.array(texts, pa.string()), TextRules(missing=("",)), out)
    return out


@pytest.mark.parametrize("ngrams", [1, 2, 3])
def test_weights_are_those_of_scikit_learn(ngrams: int) -> None:
    feature = fitted(WordPlan(ngrams=ngrams))
    theirs = TfidfVectorizer(
        token_pattern=WORD, ngram_range=(1, ngrams), vocabulary=list(feature.words)
    ).fit_transform(TEXTS)
    assert np.allclose(written(feature, TEXTS), theirs.toarray(), atol=1e-6)


def test_counts_are_those_of_scikit_learn() -> None:
    feature = fitted(WordPlan(weighting="counts"))
    theirs = CountVectorizer(token_pattern=WORD, vocabulary=list(feature.words)).transform(TEXTS)
    assert np.array_equal(written(feature, TEXTS), theirs.toarray())


def test_words_of_most_texts_have_a_place() -> None:
    assert fitted(WordPlan(max_words=3)).words == ("a", "actors", "plot")


def test_unknown_words_and_missing_texts_are_zero() -> None:
    assert not written(fitted(WordPlan()), ["zebra", None, ""]).any()


def test_row_is_the_same_in_any_company() -> None:
    feature = fitted(WordPlan(ngrams=2))
    together = written(feature, TEXTS)
    alone = [written(feature, [text])[0] for text in TEXTS]
    assert np.array_equal(together, np.stack(alone))


def test_feature_survives_its_json() -> None:
    feature = fitted(WordPlan(ngrams=2))
    assert feature_from_json(feature.to_json()) == feature


def test_runs_of_words_are_words() -> None:
    assert list(words_of("Not so bad", 2)) == ["not", "so", "bad", "not so", "so bad"]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("row {} of a text that goes on for several words", "text"),
        ("Braund, Mr. Owen {}", "id"),
        ("number {}", "id"),
    ],
)
def test_sentences_are_text_and_names_are_ids(text: str, kind: str) -> None:
    table = pa.table({"a": [text.format(row) for row in range(30)]})
    scan = ScanTask({}, [], [], TextRules())(Run(0, 0, table)).columns["a"]
    assert _kind(scan, None)[0] == kind
