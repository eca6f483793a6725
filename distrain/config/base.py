"""What all sections of the configuration share: frozen, every key known, every field described."""

import math
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic.json_schema import WithJsonSchema


class Section(BaseModel):
    """A frozen part of the configuration tree that refuses keys it does not know.

    Strict: text is no number and a word is no boolean, as YAML 1.2 has told them apart already.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        validate_default=True,
        allow_inf_nan=False,
        defer_build=True,  # building each section apart costs 50 ms of `distrain --help`
    )


def _word(value: object) -> object:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    is_finite = is_number and value not in (math.inf, -math.inf) and value == value
    return str(value) if is_finite else value


# `x-expected` is how `explain.py` words what a value of this kind should have been.
PositiveInt = Annotated[int, Field(ge=1)]
NonNegativeInt = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]
PositiveFloat = Annotated[float, Field(gt=0)]
NonNegativeFloat = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Text = Annotated[str, StringConstraints(min_length=1)]
Word = Annotated[
    str, BeforeValidator(_word), WithJsonSchema({"type": ["string", "integer", "number"]})
]
IMPORT_PATTERN = r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$"
ImportPath = Annotated[
    str,
    StringConstraints(pattern=IMPORT_PATTERN),
    Field(json_schema_extra={"x-expected": "an import path such as package.module:Name"}),
]
