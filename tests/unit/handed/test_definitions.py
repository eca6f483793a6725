"""Classes and functions of a script or a notebook become the text of a module."""

import sys
from typing import Any

import pytest

from distrain.errors import ModelError
from distrain.handed.definitions import Definitions, is_of_main
from tests.notebook_cells import CELL, run_as_main


def written(value: Any) -> tuple[str, dict[str, Any]]:
    """Return the text of a module with a definition, and what its names stand for."""
    definitions = Definitions()
    definitions.add(value, "model")
    names: dict[str, Any] = {"__name__": "given"}
    exec(compile(definitions.text, "<given>", "exec"), names)
    return definitions.text, names


def test_what_a_class_needs_comes_along_and_nothing_else() -> None:
    cell = run_as_main(CELL)

    text, names = written(cell["Net"])

    assert names["Net"]()(cell["x"]).shape == (3,)
    assert {"WIDTH", "SIZES", "double", "Base", "scaled", "Net"} <= names.keys()
    assert not {"x", "table"} & names.keys()
    assert "object" not in text


def test_names_of_another_cell_are_found() -> None:
    first = run_as_main("def half(x):\n    return x / 2\n", "<cell a>")
    second = run_as_main("def quarter(x):\n    return half(half(x))\n", "<cell b>", **first)
    assert written(second["quarter"])[1]["quarter"](8) == 2


def test_an_alias_and_a_function_that_calls_itself_come_along() -> None:
    cell = run_as_main(
        """
        def count(n):
            return 0 if n == 0 else 1 + again(n - 1)
        again = count
        """
    )
    assert written(cell["count"])[1]["count"](3) == 3


def test_a_class_without_a_method_of_its_own_is_found_by_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = """
        import enum
        from dataclasses import dataclass

        class Side(enum.Enum):
            LEFT = 1

        @dataclass
        class Size:
            width: int
            side: Side = Side.LEFT
        """
    cell = run_as_main(text, "<cell of sizes>")
    for name in ("enum", "dataclass", "Side", "Size"):
        monkeypatch.setattr(sys.modules["__main__"], name, cell[name], raising=False)

    _, names = written(cell["Size"])

    assert repr(names["Size"](3)) == "Size(width=3, side=<Side.LEFT: 1>)"


def test_annotations_that_are_not_evaluated_stay_so() -> None:
    cell = run_as_main(
        """
        from __future__ import annotations

        def same(x: NoSuchName) -> NoSuchName:
            return x
        """
    )
    text, names = written(cell["same"])
    assert text.startswith("from __future__ import annotations\n")
    assert names["same"](3) == 3


def test_of_two_definitions_of_one_name_the_one_that_is_meant_is_taken() -> None:
    cell = run_as_main("def f():\n    return 1\n\nfirst = f\n\ndef f():\n    return 2\n")
    assert written(cell["first"])[1]["f"]() == 1


def test_a_value_that_no_text_gives_again_is_told() -> None:
    cell = run_as_main(
        "import torch\n\nweights = torch.ones(3)\n\ndef loss(x, y):\n    return x * weights\n"
    )
    with pytest.raises(ModelError) as caught:
        Definitions().add(cell["loss"], "loss")
    assert str(caught.value) == (
        "loss: it uses weights, a Tensor that stands outside of it. Expected definitions, imports, "
        "and constants such as numbers, text and lists. Give weights as an argument, or put both "
        "into a module, such as nets.py, and import that."
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("f = lambda x: x", "<lambda> is a lambda, so the workers"),
        (
            "def make():\n    def f(x):\n        return x\n    return f\nf = make()",
            "is defined within a function",
        ),
        ("from torch import nn\nclass f(nn.Module):\n    pass", "has no method of its own"),
    ],
)
def test_what_has_no_place_of_its_own_is_told(text: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        Definitions().add(run_as_main(text)["f"], "model")


def test_what_was_run_from_no_file_is_told() -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    exec("def f(x):\n    return x", names)
    assert is_of_main(names["f"])
    with pytest.raises(ModelError, match=r"f has no source that can be read \(<string>\)"):
        Definitions().add(names["f"], "model")
