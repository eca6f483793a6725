"""Which tests pytest-xdist gives to one worker: a file's, and with `--one-ray` all that need a Ray.

Each worker that meets `ray_local` starts a Ray of its own, whose processes then compete with the
tests: where there are few such tests, one Ray for all of them ends sooner.
"""

import functools
from pathlib import Path

from xdist.scheduler import LoadFileScheduling

FIXTURE = "ray_local"


class OneRay(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
    """Gives a worker whole files, and one worker all files that name the shared Ray."""

    def _split_scope(self, nodeid: str) -> str:
        path: str = super()._split_scope(nodeid)
        return FIXTURE if _needs_ray(self.config.rootpath / path) else path

    def schedule(self) -> None:
        """Give out files in the order of collection: the long ones of integration come first."""
        self.config.option.loadscopereorder = False
        super().schedule()


@functools.cache
def _needs_ray(path: Path) -> bool:
    return FIXTURE in path.read_text(encoding="utf-8")
