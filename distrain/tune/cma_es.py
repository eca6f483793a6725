"""CMA-ES, by the package `cmaes`, as a pure function of the history.

The distribution is rebuilt from what is told, in generations of trials by their number; a
generation is told by ranks, so that stopped trials have their place in it: behind finished ones,
those that came further first.

An earlier search's results give the first distribution: the best tenth of them, as a normal
distribution (Nomura et al. 2021, WS-CMA-ES). They are no generations of this one: they were drawn
from other distributions, which its steps are not made for.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from cmaes import CMA, get_warm_start_mgd
from numpy.typing import NDArray

from distrain.config.domains import Listed
from distrain.tune.space import Space
from distrain.tune.told import Told, seed_for

_USUAL_SIGMA = 1 / 6
_MIDDLE = 0.5
_BEST_FRACTION = 0.1
_LEAST_SIZE = 2  # the package takes no fewer dimensions; one that means nothing fills up


class CmaEsProposer:
    """Proposes points of a normal distribution over the positions of numbers; choices are drawn.

    Args:
        space: the space; at least one domain is no choice.
        seed: the search's.
        mode: whether less or more of the metric is better.
        sigma: first spread as a fraction of each range; None: the usual one, or the earlier
            results'.
        earlier: results of an earlier search, with numbers below 0.
    """

    def __init__(
        self,
        space: Space,
        seed: int,
        mode: str,
        sigma: float | None,
        earlier: Sequence[Told] = (),
    ) -> None:
        self._space = space
        self._seed = seed
        self._sign = 1.0 if mode == "min" else -1.0
        listed = [p.path for p in space.parameters if isinstance(p.domain, Listed)]
        self._choices = listed
        self._numbers = [p for p in space.parameters if p.path not in listed]
        self._size = max(len(self._numbers), _LEAST_SIZE)
        self._mean, found_sigma, self._cov = self._first(earlier)
        self._sigma = found_sigma if sigma is None else sigma

    def candidates(self, number: int, history: Sequence[Told]) -> Iterator[Mapping[str, Any]]:
        """Yield assignments drawn from the distribution that the history leads to."""
        distribution = self._learned(history)
        distribution.reseed_rng(seed_for(self._seed, number, "cmaes"))
        chance = random.Random(seed_for(self._seed, number, "choices"))
        while True:
            point = distribution.ask()
            positions = {p.path: float(x) for p, x in zip(self._numbers, point, strict=False)}
            drawn = {path: chance.random() for path in self._choices}
            yield self._space.at({**positions, **drawn})

    def _learned(self, history: Sequence[Told]) -> CMA:
        bounds = np.array([[0.0, 1.0]] * self._size)
        distribution = CMA(self._mean, self._sigma, bounds=bounds, seed=0, cov=self._cov)
        done = sorted((t for t in history if t.state != "running"), key=lambda t: t.trial)
        placed = self._placed(done)
        size = distribution.population_size
        for start in range(0, len(placed) - size + 1, size):
            ranked = sorted(placed[start : start + size], key=lambda pair: self._rank(pair[0]))
            distribution.tell([(at, float(rank)) for rank, (_, at) in enumerate(ranked)])
        return distribution

    def _first(
        self, earlier: Sequence[Told]
    ) -> tuple[NDArray[np.float64], float, NDArray[np.float64] | None]:
        """Return mean, spread and covariance of the first generation."""
        ranked = sorted(self._placed(earlier), key=lambda pair: self._rank(pair[0]))
        if not ranked:
            return np.full(self._size, _MIDDLE), _USUAL_SIGMA, None
        solutions = [(at, float(rank)) for rank, (_, at) in enumerate(ranked)]
        gamma = max(_BEST_FRACTION, 1 / len(solutions))
        mean, sigma, covariance = get_warm_start_mgd(solutions, gamma=gamma)
        return mean, sigma, covariance

    def _placed(self, trials: Sequence[Told]) -> list[tuple[Told, NDArray[np.float64]]]:
        """Return trials with where they lie, but for those that lie outside."""
        return [(told, at) for told in trials if (at := self._position_of(told)) is not None]

    def _rank(self, told: Told) -> tuple[bool, int, float, int]:
        """Return what trials of a generation are sorted by, the best first."""
        is_stopped = told.state == "stopped"
        return is_stopped, -told.time if is_stopped else 0, told.loss(self._sign), told.trial

    def _position_of(self, told: Told) -> NDArray[np.float64] | None:
        """Return where a trial lies; None: outside of a domain, as trial 0 may."""
        position = np.full(self._size, _MIDDLE)
        for index, parameter in enumerate(self._numbers):
            if parameter.path in told.assignment:
                found = parameter.domain.position_of(told.assignment[parameter.path])
                if found is None:
                    return None
                position[index] = found
        return position
