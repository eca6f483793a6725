"""`model:` which network: a built-in family by `name`, or the user's class by `target`."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from distrain.config.base import Fraction, ImportPath, PositiveInt, Section, Text

Sha256 = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9a-f]{64}$"),
    Field(json_schema_extra={"x-expected": "a SHA-256 of 64 hex digits"}),
]
BatchOrLayerNorm = Literal["batch", "layer"]


class InitSettings(Section):
    """`model.init_from`: the weights that training begins with."""

    source: Text = Field(
        description="models:/name@alias, models:/name/3, a run's folder or name, or a file "
        "FILE.safetensors."
    )
    sha256: Sha256 | None = Field(
        None,
        description="Their weights_sha256; others are refused [that of what is there when the run "
        "starts, which is kept with it].",
    )
    anew: list[Text] = Field(
        [],
        description="Patterns of the model's names that begin anew, as the seed gives them, such "
        "as head.*; a last layer for another number of outputs does by itself.",
    )
    unused: list[Text] = Field(
        [], description="Patterns of names among the weights that the model does not have."
    )


class _ModelSection(Section):
    init_from: InitSettings | None = Field(
        None,
        description="Weights to begin with, by their source alone or with more [those that the "
        "seed gives].",
    )


class LinearSettings(_ModelSection):
    """One affine map from features to outputs."""

    name: Literal["linear"] = Field(description="Chooses linear.")


class MlpSettings(_ModelSection):
    """A multilayer perceptron."""

    name: Literal["mlp"] = Field(description="Chooses mlp.")
    hidden: list[PositiveInt] = Field([256, 256], description="Units of each hidden layer.")
    activation: Literal["relu", "gelu", "silu", "tanh"] = Field(
        "relu", description="Non-linearity after each hidden layer."
    )
    dropout: Fraction = Field(0.0, description="Share of hidden units dropped in training.")
    norm: BatchOrLayerNorm | None = Field(None, description="Normalisation before activation.")
    residual: bool = Field(
        False, description="Whether layers of equal width add their input to their output."
    )


class CnnSettings(_ModelSection):
    """A small convolutional network: blocks of convolution, norm, activation and pooling."""

    name: Literal["cnn"] = Field(description="Chooses cnn.")
    channels: list[PositiveInt] = Field(
        [32, 64],
        min_length=1,
        description="Channels of each block; every block halves height and width.",
    )
    kernel_size: Annotated[int, Field(ge=1, le=15)] = Field(
        3, description="Side of the convolution kernels, odd."
    )
    hidden: list[PositiveInt] = Field([128], description="Units of the fully connected layers.")
    activation: Literal["relu", "gelu", "silu", "tanh"] = Field(
        "relu", description="Non-linearity."
    )
    dropout: Fraction = Field(0.0, description="Share of fully connected units dropped.")
    norm: BatchOrLayerNorm | None = Field(
        "batch", description="Normalisation after each convolution (layer: one group)."
    )


class TargetSettings(_ModelSection):
    """A `torch.nn.Module` of the user's own."""

    target: ImportPath = Field(description="package.module:Class, importable from here.")
    args: dict[str, Any] = Field({}, description="Keyword arguments of the class.")


NamedModel = Annotated[LinearSettings | MlpSettings | CnnSettings, Field(discriminator="name")]
ModelSettings = NamedModel | TargetSettings
