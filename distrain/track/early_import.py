"""mlflow, imported while something else is waited for."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from distrain.track.tracking_server import TrackingServer, connect, load_mlflow


@contextmanager
def loading_mlflow(server: TrackingServer | None) -> Iterator[Future[None]]:
    """Import mlflow in a thread: seconds that Ray's start can share. The future tells what failed.

    A database that is there is opened, to know that it can be used; a fresh one is made when there
    is a run to record, so that faults found before that leave none.

    Args:
        server: the tracking store; None: it is not spoken with.
    """

    def load() -> None:
        if server is None or (server.database is not None and not server.database.exists()):
            load_mlflow()
        else:
            connect(server)

    with ThreadPoolExecutor(1, thread_name_prefix="mlflow-loading") as pool:
        yield pool.submit(load)
