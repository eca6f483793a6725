"""What many tests share: one local Ray a session, the development data sets where they are."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from distrain.ray_token import ensure_token
from tests.development_data import development_data

# Machines differ in speed, and a test that fails by chance teaches nobody anything. Since each time
# brings the same examples, more of them than these find nothing new.
settings.register_profile("repository", deadline=None, derandomize=True, max_examples=40)
settings.load_profile("repository")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what `make test` asks for."""
    parser.addoption("--one-ray", action="store_true", help="one worker runs all that need a Ray")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: Any, log: Any) -> Any:
    """Let one worker have all tests that share a Ray, where that is asked."""
    from tests.one_ray import OneRay  # xdist is there, since it asks

    return OneRay(config, log) if config.getoption("--one-ray") else None


def pytest_collection_finish() -> None:
    """Hide what was imported from the collector: it stays, and is costly to look through."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def ray_local() -> Iterator[str]:
    """A Ray of this test session's own, with 4 CPUs; gives its address."""
    import ray

    ensure_token()  # before Ray does: it would let others read the token
    context = ray.init(
        address="local",
        num_cpus=4,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        object_store_memory=512 * 2**20,
    )
    yield context.address_info["gcs_address"]
    ray.shutdown()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of the development data sets; skips where it is absent."""
    folder = development_data()
    if not folder.is_dir():
        pytest.skip(f"no development data at {folder} (set DISTRAIN_DATA)")
    return folder
