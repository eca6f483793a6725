"""What proposes positions without looking at results: chance, and a sequence that covers evenly.

A proposer yields one candidate for a trial after another, without end; which is taken is decided in
`samplers.py`. Trial `number` gets the same candidates however many are asked for together.
"""

import random
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from distrain.config.domains import Listed
from distrain.tune.space import Parameter, Space
from distrain.tune.told import Told, seed_for


class Proposer(Protocol):
    """Proposes assignments for a trial; pure."""

    def candidates(self, number: int, history: Sequence[Told]) -> Iterator[Mapping[str, Any]]:
        """Yield assignments for a trial, the best first.

        Args:
            number: the trial's.
            history: every trial before it; those that run among them.
        """


class RandomProposer:
    """Draws every position independently.

    Args:
        space: the space.
        seed: the search's.
        first: number of the first trial that is drawn; the combinations of `grid` begin there.
    """

    def __init__(self, space: Space, seed: int, first: int) -> None:
        self._space = space
        self._seed = seed
        self._first = first

    def candidates(self, number: int, history: Sequence[Told]) -> Iterator[Mapping[str, Any]]:
        """Yield drawn assignments; the history makes no difference."""
        del history
        chance = random.Random(seed_for(self._seed, number, "random"))
        fixed = grid_positions(self._space.parameters, number - self._first)
        while True:
            drawn = {parameter.path: chance.random() for parameter in self._space.parameters}
            yield self._space.at({**drawn, **fixed})


class SobolProposer:
    """Takes point after point of one scrambled Sobol sequence, then draws.

    Args:
        space: the space.
        seed: the search's.
        first: number of the trial that gets the first point.
    """

    def __init__(self, space: Space, seed: int, first: int) -> None:
        from scipy.stats.qmc import Sobol

        self._space = space
        self._first = first
        self._drawn = RandomProposer(space, seed, first)
        size = len(space.parameters)
        self._sequence = Sobol(size, scramble=True, rng=seed_for(seed, 0, "sobol"))

    def candidates(self, number: int, history: Sequence[Told]) -> Iterator[Mapping[str, Any]]:
        """Yield the trial's point of the sequence, and where it cannot be had, drawn ones."""
        index = number - self._first
        self._sequence.reset()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of balance, which one point has not
            if index > 0:
                self._sequence.fast_forward(index)
            point = self._sequence.random(1)[0]
        positions = {
            parameter.path: float(position)
            for parameter, position in zip(self._space.parameters, point, strict=True)
        }
        yield self._space.at({**positions, **grid_positions(self._space.parameters, index)})
        yield from self._drawn.candidates(number, history)


def grid_positions(parameters: Sequence[Parameter], index: int) -> dict[str, float]:
    """Return positions of the `grid` domains: combination after combination, the last key fastest.

    Args:
        parameters: of the space.
        index: which combination; behind the last it begins again.
    """
    positions: dict[str, float] = {}
    for parameter in reversed(parameters):
        if parameter.kind == "grid":
            assert isinstance(parameter.domain, Listed)
            index, digit = divmod(index, parameter.domain.num_values)
            positions[parameter.path] = (digit + 0.5) / parameter.domain.num_values
    return positions
