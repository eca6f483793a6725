"""The variables that Ray Tune starts its actors with: what Tune itself has no argument for.

A process reads LD_LIBRARY_PATH, OMP_NUM_THREADS and the like when it starts, so an actor cannot set
them for itself. Ray writes what it starts a process with into files of its own: no secret goes this
way, not even those that Tune would hand on from the driver: actors set them for themselves, as
workers do.
"""

import contextlib
from collections.abc import Iterator, Mapping

from distrain.secret_names import names_secret


@contextlib.contextmanager
def actors_started_with(environment: Mapping[str, str]) -> Iterator[None]:
    """Have Tune start actors with these variables, for the length of a `with` block.

    Args:
        environment: what `part_environment` lets Ray be told.
    """
    # Ray 2.60.0; `tests/integration/test_tune_environment.py` sees whether it is still so.
    from ray.tune.execution import class_cache

    defaults, handed_on = class_cache.DEFAULT_ENV_VARS, class_cache.ENV_VARS_TO_PROPAGATE
    class_cache.DEFAULT_ENV_VARS = {**defaults, **environment}
    class_cache.ENV_VARS_TO_PROPAGATE = {name for name in handed_on if not _is_of_account(name)}
    try:
        yield
    finally:
        class_cache.DEFAULT_ENV_VARS = defaults
        class_cache.ENV_VARS_TO_PROPAGATE = handed_on


def _is_of_account(name: str) -> bool:
    return name.startswith("AWS_") or names_secret(name)
