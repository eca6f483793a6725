"""Weights from elsewhere into a model: all of them, or a head for other classes anew."""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from distrain.errors import ModelError
from distrain.models.naming import check_matched, matches_any

_WHERE = "model.init_from"
_MOST_SHOWN = 6


def take_weights(
    model: nn.Module,
    state: Mapping[str, torch.Tensor],
    *,
    num_outputs: int,
    anew: Sequence[str] = (),
    unused: Sequence[str] = (),
) -> list[str]:
    """Let a model begin with given weights, and return the names of what begins anew all the same.

    Anew are the names that `anew` matches; and the last layer, where its shapes differ in the
    number of outputs alone.

    Args:
        model: the network, on the CPU, initialised; it is changed in place.
        state: the weights by name.
        num_outputs: classes or targets.
        anew: patterns of the model's names.
        unused: patterns of names among the weights that the model need not have.

    Raises:
        ModelError: the weights do not fit; what is missing, left over and of another shape is
            listed. Or a pattern matches nothing.
    """
    own = model.state_dict()
    check_matched(anew, list(own), where=f"{_WHERE}.anew")
    fresh = [name for name in own if matches_any(name, anew)]
    wanted = [name for name in own if name not in fresh]
    unfit = [name for name in wanted if name in state and own[name].shape != state[name].shape]
    head = _head(own, state, unfit, num_outputs)
    faults = [
        *_listed("lacks", [name for name in wanted if name not in state]),
        *_listed(
            "has besides",
            [name for name in sorted(state) if name not in own and not matches_any(name, unused)],
        ),
        *_listed(
            "has in another shape",
            [
                f"{name} {tuple(state[name].shape)}, not {tuple(own[name].shape)}"
                for name in unfit
                if name not in head
            ],
        ),
    ]
    if faults:
        raise ModelError(
            f"what it names does not fit the model: it {'; it '.join(faults)}",
            where=_WHERE,
            expected="the weights of a model of the same names and shapes, but for the outputs",
            mend="Set the model as it was trained; or state what shall begin anew in "
            "model.init_from.anew, and what is left over in model.init_from.unused",
        )
    with torch.no_grad():
        for name in wanted:
            if name not in head:
                own[name].copy_(state[name])
    return [name for name in own if name in fresh or name in head]


def _head(
    own: Mapping[str, torch.Tensor],
    state: Mapping[str, torch.Tensor],
    unfit: Sequence[str],
    num_outputs: int,
) -> set[str]:
    """Return the names that differ in the number of outputs alone, if they are of one layer."""
    differing = {
        name
        for name in unfit
        if own[name].ndim
        and own[name].ndim == state[name].ndim
        and own[name].shape[0] == num_outputs
        and own[name].shape[1:] == state[name].shape[1:]
    }
    layers = {name.rpartition(".")[0] for name in differing}
    return differing if len(layers) == 1 else set()


def _listed(verb: str, names: Sequence[str]) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - _MOST_SHOWN} more" if len(names) > _MOST_SHOWN else ""
    return [f"{verb} {', '.join(names[:_MOST_SHOWN])}{more}"]
