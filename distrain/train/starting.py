"""The weights that a run begins with, where they are given, from where every worker reads them."""

from collections.abc import Mapping
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import nn

from distrain.config.names import is_uri
from distrain.data.files import read_remote
from distrain.errors import ModelError
from distrain.models.starting import take_weights
from distrain.models.weights import weights_sha256


def begin_with(model: nn.Module, init_from: Mapping[str, Any], *, num_outputs: int) -> list[str]:
    """Let a model begin with given weights; return the names of what begins anew all the same.

    Args:
        model: the network, on the CPU, initialised; it is changed in place.
        init_from: `path` (a file or a URI, safetensors), `sha256` (their `weights_sha256`), `anew`
            and `unused`, as `take_weights` takes them.
        num_outputs: classes or targets.

    Raises:
        ModelError: they cannot be read, are others by now, or do not fit.
    """
    return take_weights(
        model,
        _read(str(init_from["path"]), str(init_from["sha256"])),
        num_outputs=num_outputs,
        anew=init_from["anew"],
        unused=init_from["unused"],
    )


def _read(path: str, sha256: str) -> dict[str, torch.Tensor]:
    try:
        state: dict[str, torch.Tensor] = (
            safetensors.torch.load(read_remote(path))
            if is_uri(path)
            else safetensors.torch.load_file(path)
        )
        why = "" if weights_sha256(state) == sha256 else "they are not those of the run's start"
    except (OSError, ValueError, safetensors.SafetensorError) as fault:
        why = f"they cannot be read ({fault})"
    if why:
        raise ModelError(
            f"the weights that training begins with are damaged or gone: {why}",
            where=path,
            expected=f"weights with the SHA-256 {sha256[:12]}..., which the run was started with",
            mend="Remove that file and resume: they are taken from model.init_from once more",
        )
    return state
