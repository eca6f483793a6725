"""What the workers of one command reserve at most, where others use the same machines. Pure."""

from dataclasses import dataclass
from typing import Final, Self, final

from distrain.config.settings import ClusterSettings
from distrain.errors import ConfigError

ANY_NUMBER: Final = 1_000_000
"""As many as nothing bounds but a cluster that nobody has looked at."""


def whole_times(ratio: float) -> int:
    """Return how many whole times something fits; 0.3 / 0.1 is 3, though it is computed as less."""
    return int(ratio + 1e-9)


@final
@dataclass(frozen=True)
class Bounds:
    """A command's share of a cluster, in all and not on each node.

    Args:
        cpus: CPUs that its workers reserve at most; None: no bound.
        gpus: GPUs, likewise.
    """

    cpus: float | None = None
    gpus: float | None = None

    @classmethod
    def of(cls, cluster: ClusterSettings) -> Self:
        """Return the bounds that are configured."""
        return cls(cluster.max_cpus, cluster.max_gpus)

    def num_workers(self, cpu: float, gpu: float) -> int:
        """Return how many workers have room in the share.

        Args:
            cpu: CPUs of each.
            gpu: GPUs of each; below 1 workers share one.
        """
        return min(
            (whole_times(most / each) for _, most, each in self._kinds(cpu, gpu)),
            default=ANY_NUMBER,
        )

    def check_one(self, cpu: float, gpu: float) -> None:
        """Refuse a share that has no room for one worker.

        Raises:
            ConfigError: of which, by its key.
        """
        for key, most, each in self._kinds(cpu, gpu):
            if whole_times(most / each) < 1:
                kind = key.removeprefix("max_").removesuffix("s")
                raise ConfigError(
                    f"{most:g} {kind.upper()} has no room for one worker, which takes {each:g}",
                    where=f"cluster.{key}",
                    expected=f"at least train.resources_per_worker.{kind}, {each:g}",
                    mend=f"Raise it, leave it out, or lower train.resources_per_worker.{kind}",
                )

    def text(self, cpu: float, gpu: float) -> str:
        """Return in words which bounds hold for workers that take so much."""
        return " and ".join(f"cluster.{key} = {most:g}" for key, most, _ in self._kinds(cpu, gpu))

    def _kinds(self, cpu: float, gpu: float) -> list[tuple[str, float, float]]:
        """Return the bounds that there are: the key, its value, and what each worker takes."""
        kinds = (("max_cpus", self.cpus, cpu), ("max_gpus", self.gpus, gpu))
        return [(key, most, each) for key, most, each in kinds if most is not None and each > 0]
