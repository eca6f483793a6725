"""Whether a packaged model gives what the trained one gave, on rows of its own dataset.

The trained model is the module that was measured, in the worker that trained it; the packaged one
is made anew from its class and its state dict. They differ where a model keeps state elsewhere.
"""

from pathlib import Path
from typing import Final

import numpy as np
import safetensors.torch

from distrain.data.prepared import PreparedDataset
from distrain.errors import ModelError
from distrain.track.packaged import Predictor

# Kernels of a GPU and of a CPU round otherwise, TF32 in the fourth digit.
_CLOSE: Final = 1e-2


def check_like_trained(packaged: Path, outputs: Path, dataset: PreparedDataset) -> None:
    """Return where a packaged model gives what the trained one gave.

    Args:
        packaged: its folder.
        outputs: the trained model's outputs for the first rows of some splits, safetensors.
        dataset: what it was trained on.

    Raises:
        ModelError: it gives something else.
    """
    predictor = Predictor.load(packaged)
    for name, tensor in safetensors.torch.load_file(outputs).items():
        expected = tensor.numpy()
        found = predictor.outputs(dataset.split(name).slice(0, len(expected))["x"])
        scale = float(np.nanmax(np.abs(expected), initial=0.0))
        if not np.allclose(found, expected, rtol=_CLOSE, atol=_CLOSE * scale, equal_nan=True):
            row = int(np.argmax(np.abs(found - expected).max(axis=1)))
            raise ModelError(
                f"the packaged model gives {found[row].tolist()} for row {row} of the {name} split",
                where=str(packaged),
                expected=f"what the trained one gave: {expected[row].tolist()}",
                mend="Does its code keep state outside of its state dict? Make that a buffer",
            )
