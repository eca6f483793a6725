"""`model:` which network: a built-in family by `name`, or the user's class by `target`."""

from typing import Annotated, Any, Literal

from pydantic import Field

from distrain.config.base import Fraction, ImportPath, PositiveInt, Section

BatchOrLayerNorm = Literal["batch", "layer"]


class LinearSettings(Section):
    """One affine map from features to outputs."""

    name: Literal["linear"] = Field(description="Chooses linear.")


class MlpSettings(Section):
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


class CnnSettings(Section):
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


class TargetSettings(Section):
    """A `torch.nn.Module` of the user's own."""

    target: ImportPath = Field(description="package.module:Class, importable from here.")
    args: dict[str, Any] = Field({}, description="Keyword arguments of the class.")


NamedModel = Annotated[LinearSettings | MlpSettings | CnnSettings, Field(discriminator="name")]
ModelSettings = NamedModel | TargetSettings
