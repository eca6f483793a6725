"""An object store, and runs in it whose folders are linked."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from distrain.object_store.link import Link, linked
from distrain.object_store.place import Place
from tests.s3_server import S3Server

NewLink = Callable[..., Link]


@pytest.fixture(autouse=True)
def _with_account(account: None) -> None:
    """Let every test in."""


_NUMBERS = itertools.count()


@pytest.fixture
def run(server: S3Server) -> Place:
    """The place of a run of a test's own."""
    return server.place(f"kept-{next(_NUMBERS)}/name/run")


@pytest.fixture
def new_link(run: Place, tmp_path: Path) -> Iterator[NewLink]:
    """Links the run to a folder of a name, as a driver on a host of its own does."""
    with ExitStack() as stack:

        def new(name: str) -> Link:
            folder = tmp_path / name / "name" / "run"
            folder.mkdir(parents=True)
            link = Link(folder, run)
            link.patience_s = 0.0
            return stack.enter_context(linked(link))

        yield new
