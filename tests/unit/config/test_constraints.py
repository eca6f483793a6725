"""Constraints: what they can say of a trial, and what they cannot say at all."""

import pytest

from distrain.config.constraints import read_constraint
from distrain.config.load import settings_from_dict
from distrain.errors import ConfigError

VALUES = {
    "model": {"name": "mlp", "hidden": [256, 256], "norm": None, "residual": False},
    "train": {"global_batch_size": 256, "logical_shards": 4, "optimizer": {"lr": 0.01}},
}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("train.global_batch_size >= 64", True),
        ("64 <= train.global_batch_size < 256", False),
        ("train.global_batch_size / train.logical_shards == 64", True),
        ("train.global_batch_size % 3 == 1 and train.global_batch_size // 100 == 2", True),
        ("train.optimizer.lr * 100 - 1 + 1 > 2", False),
        ("-train.optimizer.lr < +0.5", True),
        ("model.name == 'mlp'", True),
        ("model.name in ['cnn', 'linear']", False),
        ("model.name not in ['cnn', 'linear']", True),
        ("not model.name == 'mlp' or model.hidden == [256, 256]", True),
        ("model.norm == null", True),
        ("model.norm == None and model.residual == false", True),
        ("true", True),
        ("model.residual", False),
    ],
)
def test_a_constraint_holds_or_not(text, holds):
    assert read_constraint(text).holds(VALUES) is holds


@pytest.mark.parametrize("text", ["model.kernel_size >= 3", "model.kernel_size + 1 < 0"])
def test_a_key_that_the_trial_does_not_have_excludes_nothing(text):
    assert read_constraint(text).holds(VALUES) is True


@pytest.mark.parametrize(
    "text",
    [
        "model.norm > 1",
        "1 / 0 > 1",
        "model.name * 1000000000 == 'x'",
        "model.hidden + [1] == 1",
        "model.residual + 1 == 1",
        "1 in train.global_batch_size",
        "1e308 * 10 // 1 > 1",
    ],
)
def test_what_cannot_be_worked_out_does_not_hold(text):
    assert read_constraint(text).holds(VALUES) is False


def test_settings_are_looked_into_like_plain_values():
    settings = settings_from_dict({"data": {"source": "a.csv", "target": "y"}})

    assert read_constraint("train.optimizer.betas == [0.9, 0.999]").holds(settings)
    assert read_constraint("train.loss == null and model.hidden == [256, 256]").holds(settings)
    assert read_constraint("model.kernel_size == 100").holds(settings)


def test_the_keys_are_told():
    constraint = read_constraint("model.name in ['mlp'] or a.b > a.b + null")

    assert constraint.paths == ("model.name", "a.b")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a.b >",
        "a = 1",
        "f(1)",
        "a.b()",
        "a[0] == 1",
        "a ** 9 ** 9 > 1",
        "a << 9",
        "~a",
        "lambda: 1",
        "(a := 1)",
        "[x for x in a]",
        "{1: 2}",
        "f'{a}'",
        "1 if a else 2",
        "a is None",
        "b'x'",
        "1j",
        "...",
        "import os",
        "''.x == 1",
        "(" * 300 + ")" * 300,
        "not " * 200 + "a",
        "-" * 900 + "1",
        "a or " * 300 + "a",
    ],
)
def test_nothing_else_can_be_said(text):
    with pytest.raises(ConfigError):
        read_constraint(text)
