"""All that a tracking server holds of a run's metrics."""

from typing import Final

from distrain.errors import TrackingError, first_line
from distrain.track.patient import patient
from distrain.track.tracking_server import TrackingServer, connect, load_mlflow

OF_CIRCUMSTANCES: Final = ("time/", "system/", "samples_per_second")
"""What the names of metrics begin with that speak of the machines and the time, not of the run."""

Point = tuple[str, int, float]


def history_of(server: TrackingServer, run_id: str) -> list[Point]:
    """Return name, step and value of each point, sorted, but for those of circumstances.

    A point that was recorded twice is there twice.

    Args:
        server: the tracking store.
        run_id: MLflow's id of the run.

    Raises:
        TrackingError: it does not answer, or does not know the run.
    """
    load_mlflow()
    from mlflow.exceptions import MlflowException

    client = patient(connect(server))
    try:
        names = client.get_run(run_id).data.metrics
        return sorted(
            (point.key, point.step, point.value)
            for name in names
            if not name.startswith(OF_CIRCUMSTANCES)
            for point in client.get_metric_history(run_id, name)
        )
    except MlflowException as error:
        raise TrackingError(
            f"the metrics of run {run_id} cannot be read ({first_line(error)})",
            where=f"{server.origin} = {server.shown}",
            expected="a server that has recorded the run",
            mend="Look into the server's log",
        ) from error
