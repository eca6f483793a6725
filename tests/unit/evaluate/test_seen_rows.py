from pathlib import Path

import numpy as np

from distrain.evaluate.seen_rows import MAX_KEYS, SeenRows, keys_of, seen_rows


def rows(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    x = random.normal(size=(count, 5)).astype(np.float32)
    return {"x": x, "y": random.integers(0, 3, count)}


def test_rows_that_were_trained_on_are_found_again_and_others_are_not(tmp_path: Path) -> None:
    train, other = rows(500), rows(500, seed=1)
    seen_rows(
        [{name: v[:300] for name, v in train.items()}, {n: v[300:] for n, v in train.items()}], 500
    ).save(tmp_path)
    seen = SeenRows.load(tmp_path)
    assert seen is not None
    for columns, expected in ((train, True), (other, False)):
        is_seen, is_known = seen.find(keys_of(columns["x"], columns["y"]))
        assert (is_seen == expected).all()
        assert is_known.all()


def test_the_target_is_part_of_a_row() -> None:
    train = rows(50)
    seen = seen_rows([train], 50)
    assert not seen.find(keys_of(train["x"], train["y"] + 1))[0].any()


def test_minus_zero_is_zero() -> None:
    x = np.zeros((1, 3), dtype=np.float32)
    assert keys_of(x, np.zeros(1)) == keys_of(-x, np.zeros(1))


def test_images_and_several_targets_have_keys_too() -> None:
    x = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 1, 3, 3)
    first, second = keys_of(x, np.zeros((2, 2), dtype=np.float32))
    assert first != second


def test_of_a_large_split_one_row_in_so_many_is_kept_and_can_be_told() -> None:
    count = 3 * MAX_KEYS
    train = rows(count)
    seen = seen_rows([train], count)
    assert seen.one_in == 3
    assert len(seen.keys) < 1.1 * MAX_KEYS
    is_seen, is_known = seen.find(keys_of(train["x"], train["y"]))
    assert (is_seen == is_known).all()
    assert 0.3 < is_known.mean() < 0.37


def test_a_model_without_them_says_nothing(tmp_path: Path) -> None:
    assert SeenRows.load(tmp_path) is None
