"""A network as a file that other programs run: ONNX, or torch.export's `.pt2`.

In: a network in eval mode, on the CPU, and some rows of its input. Out: a file whose one input `x`
has any number of rows; `run` loads it again, as its users do. torch is known here, onnx and
onnxruntime are imported only where they are asked for.
"""

import contextlib
import importlib.util
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal, final

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from distrain.errors import ConfigError, ModelError, first_line
from distrain.models.build import InputNormalizer

Form = Literal["onnx", "torch"]
Floats32 = npt.NDArray[np.float32]

INPUT: Final = "x"
ENDINGS: Final[Mapping[Form, str]] = {"onnx": ".onnx", "torch": ".pt2"}
_NEEDED: Final[Mapping[Form, tuple[str, ...]]] = {
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "torch": (),
}
# What these tell is about operators that torch could not register, not about the model.
_TALKATIVE: Final = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")


@final
class Portable(nn.Module):
    """A network with what stands before it: images are scaled as in training.

    Args:
        module: the network.
        image: the transform's `image` entry; None where rows are no images.
    """

    def __init__(self, module: nn.Module, image: Mapping[str, Any] | None) -> None:
        super().__init__()
        self.module = module
        self._normalizer = InputNormalizer(image)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the network's outputs, float32.

        Args:
            x: `(rows, features)` float32, or `(rows, channels, height, width)` uint8.
        """
        outputs: torch.Tensor = self.module(self._normalizer(x))
        return outputs.to(torch.float32)


def check_installed(form: Form) -> None:
    """Raise a ConfigError where what a form needs is not installed.

    Raises:
        ConfigError: with the packages.
    """
    absent = [name for name in _NEEDED[form] if importlib.util.find_spec(name) is None]
    if absent:
        raise ConfigError(
            f"{' and '.join(absent)} {'is' if len(absent) == 1 else 'are'} not installed",
            where=f"--format {form}",
            expected=f"{', '.join(_NEEDED[form])}",
            mend="pip install 'distrain[export]', or use --format torch",
        )


def write(network: nn.Module, form: Form, path: Path, x: torch.Tensor, output: str) -> None:
    """Write a network as a file of some form.

    Args:
        network: in eval mode, on the CPU.
        form: of the file.
        path: of the file; its name ends in the form's ending.
        x: some rows of input, at least two.
        output: what its output is called in the file.

    Raises:
        ModelError: the network cannot be written so, with the cause.
    """
    try:
        with _quiet(), torch.no_grad():
            _WRITERS[form](network, path, x, output)
    except Exception as fault:  # the network is the user's, and torch raises what it likes
        raise ModelError(
            f"the model cannot be exported ({type(fault).__name__}: {first_line(fault)})",
            where=f"--format {form}",
            expected="a forward made of tensor operations alone, for any number of rows",
            mend="Look for branches on values or on the number of rows in forward, and for "
            "functions that are not torch's; `distrain predict` and mlflow serve it as it is",
        ) from fault


def run(form: Form, path: Path, x: npt.NDArray[Any]) -> Floats32:
    """Return what the network in a file gives for some rows.

    Args:
        form: of the file, which is one that `write` has just written.
        path: of the file.
        x: as for `Portable.forward`.

    Raises:
        ModelError: it cannot be loaded, or fails.
    """
    try:
        with _quiet():
            outputs: Floats32 = _RUNNERS[form](path, x)
    except Exception as fault:  # whatever the library makes of the network
        raise ModelError(
            f"the exported model does not run on {len(x)} rows "
            f"({type(fault).__name__}: {first_line(fault)})",
            where=f"--format {form}",
            expected="any number of rows",
            mend="Does forward depend on the number of rows?",
        ) from fault
    return outputs


def _write_torch(network: nn.Module, path: Path, x: torch.Tensor, output: str) -> None:
    del output  # outputs have no names there
    torch.export.save(torch.export.export(network, (x,), dynamic_shapes=_any_rows()), path)


def _write_onnx(network: nn.Module, path: Path, x: torch.Tensor, output: str) -> None:
    program = torch.onnx.export(
        network,
        (x,),
        dynamo=True,
        input_names=[INPUT],
        output_names=[output],
        dynamic_shapes=_any_rows(),
        verbose=False,
    )
    assert program is not None, "made by dynamo"
    program.save(str(path), external_data=False)


def _any_rows() -> dict[str, dict[int, Any]]:
    return {INPUT: {0: torch.export.Dim("rows", min=1)}}


def _run_torch(path: Path, x: npt.NDArray[Any]) -> Floats32:
    with torch.no_grad():
        outputs: Floats32 = torch.export.load(path).module()(torch.from_numpy(x)).numpy()
    return outputs


def _run_onnx(path: Path, x: npt.NDArray[Any]) -> Floats32:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    outputs: Floats32 = session.run(None, {INPUT: x})[0]
    return outputs


_WRITERS: Final[Mapping[Form, Callable[[nn.Module, Path, torch.Tensor, str], None]]] = {
    "onnx": _write_onnx,
    "torch": _write_torch,
}
_RUNNERS: Final[Mapping[Form, Callable[[Path, npt.NDArray[Any]], Floats32]]] = {
    "onnx": _run_onnx,
    "torch": _run_torch,
}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporters' warnings and log lines away; what fails is told in an error."""
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
