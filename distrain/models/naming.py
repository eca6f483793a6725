"""Patterns over the names of a model's parameters: what is frozen, and what has a rate of its own.

A pattern is a shell's: `encoder.*` is all below encoder, `*.bias` every bias, `?` one character.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from distrain.errors import ModelError, did_you_mean


def matches_any(name: str, patterns: Iterable[str]) -> bool:
    """Return whether one of the patterns matches a name."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def check_matched(patterns: Iterable[str], names: Sequence[str], *, where: str) -> None:
    """Return where every pattern matches a name.

    Args:
        patterns: as a configuration has them.
        names: what they may match.
        where: the key that they stand in.

    Raises:
        ModelError: one matches none; the nearest names are told.
    """
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            options = _groups(names) if "*" in pattern else names
            raise ModelError(
                f"{pattern!r} matches no parameter of the model",
                where=where,
                expected="patterns of parameter names, such as encoder.* or *.bias",
                mend=did_you_mean(pattern, options or names, listed="There are"),
            )


def _groups(names: Iterable[str]) -> set[str]:
    """Return a pattern for each module that has names below it."""
    parts = [name.split(".") for name in names]
    return {f"{'.'.join(own[:end])}.*" for own in parts for end in range(1, len(own))}


def freeze(model: nn.Module, patterns: Sequence[str]) -> None:
    """Keep the parameters that a pattern matches from being trained, in place.

    A norm with running statistics, all of whose own parameters are matched, keeps and uses these,
    too: it is in evaluation mode for good.

    Args:
        model: the network.
        patterns: of parameter names.

    Raises:
        ModelError: a pattern matches none.
    """
    named = dict(model.named_parameters(remove_duplicate=False))
    check_matched(patterns, list(named), where="train.freeze")
    frozen = {name for name in named if matches_any(name, patterns)}
    for name in frozen:
        named[name].requires_grad_(False)
    for prefix, module in model.named_modules():
        own = [f"{prefix}.{key}".lstrip(".") for key, _ in module.named_parameters(recurse=False)]
        if isinstance(module, _NormBase) and own and frozen.issuperset(own):
            module.eval()
            # The module's own train() finds this before the class's method.
            module.train = partial(_stay, module)  # type: ignore[method-assign,assignment]


def rates_by_name(
    model: nn.Module, rates: Mapping[str, float], rate: float
) -> Callable[[str], float]:
    """Return what tells, for a parameter's name, its learning rate over that of all others.

    Args:
        model: the network.
        rates: learning rate by pattern; the first that matches counts.
        rate: of all others.

    Raises:
        ModelError: a pattern matches no parameter that is trained.
    """
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    check_matched(rates, trained, where="train.lr_by_name")
    factors = {pattern: own / rate for pattern, own in rates.items()}

    def factor(name: str) -> float:
        return next((f for pattern, f in factors.items() if fnmatchcase(name, pattern)), 1.0)

    return factor


def _stay(module: nn.Module, mode: bool = True) -> nn.Module:
    del mode
    return module
