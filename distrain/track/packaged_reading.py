"""What a packaged model says of itself, checked before anything is done by it.

Whoever wrote it, nothing of it is unpickled, it names no file but its own, and it is given no more
memory than its weights take.
"""

import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import safetensors
import safetensors.torch
import torch

from distrain.data.features import Transform
from distrain.errors import ModelError
from distrain.foreign import from_json, is_count, read_file
from distrain.models.build import shapes_of

FORMAT_VERSION: Final = 1
WEIGHTS: Final = "model.safetensors"
DESCRIPTION: Final = "model.json"
SOURCE: Final = "source.json"
USER_CODE: Final = "user_code"
MALFORMED: Final = (AttributeError, IndexError, KeyError, TypeError, ValueError, OverflowError)
_MAX_THREADS: Final = 1024
_WRITTEN: Final = "a model written by distrain"
_TAKE_AGAIN: Final = "Take the model from the registry again, or train it again"


def read_description(folder: Path) -> dict[str, Any]:
    """Return what a packaged model's `model.json` says.

    Raises:
        ModelError: there is none, it is of another format, or says what no model has.
    """
    path = folder / DESCRIPTION
    try:
        description = from_json(read_file(path))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"no model can be read here ({error})",
            where=str(path),
            expected=_WRITTEN,
            mend="Name the folder of a finished run, or take the model from the registry again",
        ) from error
    if not isinstance(description, dict) or description.get("format") != FORMAT_VERSION:
        found = description.get("format") if isinstance(description, dict) else None
        raise ModelError(
            f"the model's format is {found!r}",
            where=str(path),
            expected=f"format {FORMAT_VERSION}",
            mend="Use the distrain version that wrote it, or a newer one",
        )
    for key, is_valid in _FIELDS.items():
        if not is_valid(description.get(key)):
            raise malformed(path, f"{key} is {description.get(key)!r}"[:200])
    if description["user_code"] and "target" not in description["model"]:
        raise malformed(path, "it brings code, and its model is none of a user's own")
    return description


def transform_of(folder: Path, description: Mapping[str, Any]) -> Transform:
    """Return the fitted transform of a packaged model.

    Raises:
        ModelError: it has other fields.
    """
    try:
        transform = Transform.from_json(description["transform"])
        is_whole = all(map(is_count, (*transform.input_shape, transform.num_outputs)))
    except MALFORMED as error:
        raise malformed(folder / DESCRIPTION, f"transform has other fields ({error})") from error
    if not is_whole:
        raise malformed(folder / DESCRIPTION, "transform gives inputs of no shape")
    return transform


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Return the state dict in a file of weights.

    Raises:
        ModelError: it cannot be read.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ValueError("it is no file")
        return safetensors.torch.load_file(path)
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise ModelError(
            f"the weights cannot be read ({error})",
            where=str(path),
            expected="the safetensors file that was saved with the model",
            mend=_TAKE_AGAIN,
        ) from error


def check_shapes(
    folder: Path,
    spec: Mapping[str, Any],
    transform: Transform,
    state: Mapping[str, torch.Tensor],
) -> None:
    """Return where a model of distrain's own is as large as its weights; makes none of it.

    Args:
        folder: of the packaged model.
        spec: its model section.
        transform: its transform.
        state: its weights.

    Raises:
        ModelError: it would be another.
    """
    path = folder / DESCRIPTION
    if any(isinstance(value, list) and len(value) > len(state) for value in spec.values()):
        raise malformed(path, "model has more layers than there are weights")
    try:
        shapes = shapes_of(spec, transform.input_shape, transform.num_outputs)
    except (*MALFORMED, RuntimeError) as error:
        raise malformed(path, f"model has other fields ({error})") from error
    for name in {**shapes, **state}:
        held = tuple(state[name].shape) if name in state else None
        if shapes.get(name) != held:
            raise malformed(
                path, f"model has {name} of shape {shapes.get(name)}, and its weights {held}"
            )


def malformed(path: Path, message: str) -> ModelError:
    """Return the error for a file of a packaged model that distrain has not written so."""
    return ModelError(message, where=str(path), expected=_WRITTEN, mend=_TAKE_AGAIN)


def _are_modules(value: object) -> bool:
    """Return whether something is names of modules that lie in the model's own folder."""
    return isinstance(value, list) and all(
        isinstance(name, str) and name == Path(name).name and Path(name).stem.isidentifier()
        for name in value
    )


def _is_model(value: object) -> bool:
    return isinstance(value, dict) and any(
        isinstance(value.get(key), str) for key in ("name", "target")
    )


_FIELDS: Final[Mapping[str, Callable[[object], bool]]] = {
    "model": _is_model,
    "threads": lambda value: isinstance(value, int) and 1 <= value <= _MAX_THREADS,
    "weights_sha256": lambda value: isinstance(value, str),
    "user_code": _are_modules,
    "transform": lambda value: isinstance(value, dict),
}
