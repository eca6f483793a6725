"""What the user's code draws from, keyed and watched."""

import hashlib
import random
from collections.abc import Callable

import numpy as np
import pytest
import torch

from distrain.data.own.drawing import Keys, NumpySource, PythonSource, Source, TorchSource

DRAWS = [
    (TorchSource, lambda: torch.rand(())),
    (TorchSource, lambda: torch.randn(3)),
    (TorchSource, lambda: torch.randperm(2)),
    (NumpySource, np.random.rand),
    (NumpySource, np.random.standard_normal),
    (NumpySource, lambda: np.random.shuffle([1, 2])),
    (PythonSource, random.random),
    (PythonSource, lambda: random.gauss(0.0, 1.0)),
    (PythonSource, lambda: random.choice("ab")),
    (PythonSource, lambda: random.seed(1)),
]


@pytest.mark.parametrize(("kind", "draw"), DRAWS)
def test_what_is_drawn_is_seen(kind: type[Source], draw: Callable[[], object]) -> None:
    source = kind()
    source.watch(2**63 - 25)
    draw()
    assert source.is_drawn_from()


@pytest.mark.parametrize("kind", [TorchSource, NumpySource, PythonSource])
def test_nothing_is_seen_where_only_others_are_drawn_from(kind: type[Source]) -> None:
    source = kind()
    source.watch(2**63 - 25)
    for other, draw in DRAWS:
        if other is not kind:
            draw()
    assert not source.is_drawn_from()


@pytest.mark.parametrize(("kind", "draw"), DRAWS[:-1])
def test_a_seed_decides_what_is_drawn(kind: type[Source], draw: Callable[[], object]) -> None:
    source = kind()
    drawn = []
    for number in (12, 13, 12):
        source.seed(number)
        drawn.append([str(draw()) for _ in range(8)])
    assert drawn[0] == drawn[2]


def test_a_row_has_the_key_of_seed_epoch_and_number() -> None:
    digest = hashlib.blake2b(b"5/evaluation/1234", digest_size=8).digest()
    keys = Keys(5, "evaluation")
    assert keys.of(1234) == keys.of(1234) == int.from_bytes(digest, "little") >> 1
