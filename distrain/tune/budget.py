"""What a search may spend, and what it has spent. Pure.

In: the settings' limits; epochs, seconds of GPUs and of drivers as they are told. Out: whether a
limit is reached.
"""

from dataclasses import dataclass
from typing import final

from distrain.cost import gpu_hours


@final
@dataclass(frozen=True)
class Spent:
    """What a search has spent.

    Attributes:
        epochs: of all trials together.
        gpu_s: seconds of GPUs that trials held.
        wall_s: seconds, over all drivers of the search.
    """

    epochs: int = 0
    gpu_s: float = 0.0
    wall_s: float = 0.0

    def plus(self, *, epochs: int = 0, gpu_s: float = 0.0, wall_s: float = 0.0) -> "Spent":
        """Return what is spent with that in addition."""
        return Spent(self.epochs + epochs, self.gpu_s + gpu_s, self.wall_s + wall_s)


@final
@dataclass(frozen=True)
class Budget:
    """What a search may spend; None: no limit.

    Attributes:
        wall_s: seconds, over all drivers of the search.
        epochs: of all trials together.
        gpu_hours: hours of GPUs that trials held.
    """

    wall_s: float | None = None
    epochs: int | None = None
    gpu_hours: float | None = None

    def is_used_up(self, spent: Spent) -> bool:
        """Return whether one of the limits is reached."""
        used = (
            (self.epochs, spent.epochs),
            (self.wall_s, spent.wall_s),
            (self.gpu_hours, gpu_hours(spent.gpu_s)),
        )
        return any(limit is not None and value >= limit for limit, value in used)
