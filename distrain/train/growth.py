"""The nodes that an autoscaler may still bring to a cluster, as far as that is known. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, final

from distrain.train.bounds import ANY_NUMBER


@final
@dataclass(frozen=True)
class NodeType:
    """A kind of node that an autoscaler brings.

    Args:
        resources: of each, by Ray's names.
        most: how many there may be at once; None: any number.
    """

    resources: Mapping[str, float]
    most: int | None


@final
@dataclass(frozen=True)
class Growth:
    """What may still come to a cluster.

    Args:
        has_autoscaler: whether something brings nodes at all.
        types: what it brings; None: it does not tell, and may bring anything.
    """

    has_autoscaler: bool
    types: tuple[NodeType, ...] | None = ()

    def room(self, fits: Callable[[Mapping[str, float]], int]) -> int:
        """Return how many workers may find room on nodes to come; never less than there will be.

        Nodes of a type that are there already are counted once more: what is refused for want of
        room must not fit for sure, and Ray tells of few nodes which type they are.

        Args:
            fits: how many workers a node with these resources takes.
        """
        if not self.has_autoscaler:
            return 0
        if self.types is None:
            return ANY_NUMBER
        rooms = (
            (fits(kind.resources), ANY_NUMBER if kind.most is None else kind.most)
            for kind in self.types
        )
        return min(ANY_NUMBER, sum(each * count for each, count in rooms))


FIXED: Final = Growth(has_autoscaler=False)
"""A cluster without an autoscaler."""
