"""Runs that were deleted at MLflow: who records in one restores it, who passes by leaves it so.

Whoever deletes a run wants it gone, until a command names it again: `train`, `resume`, or `sync`
with its name. All other commands that ship journals look first, and write down that it is deleted.
"""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from distrain.track.journal_reading import last_written
from distrain.track.sending import KEY_TAG
from distrain.track.watermark import Watermark

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)


def is_deleted(client: "MlflowClient", folder: Path, writer: str, mark: Watermark) -> bool:
    """Return whether a journal's run was deleted, or the experiment that it would be made in.

    Args:
        client: one whose own retries are off.
        folder: the journal's folder.
        writer: who has recorded which run it is.
        mark: how far it was shipped.

    Raises:
        MlflowException: the store does not tell.
    """
    from mlflow.entities import ViewType

    if mark.run_id is not None:
        return is_run_deleted(client, mark.run_id)
    record = last_written(writer, folder, "run")
    experiment = client.get_experiment_by_name(record.payload["experiment"]) if record else None
    if record is None or experiment is None:
        return False
    if experiment.lifecycle_stage == "deleted":
        return True
    found = client.search_runs(
        [experiment.experiment_id],
        f"tags.`{KEY_TAG}` = '{record.payload['key']}'",
        run_view_type=ViewType.ALL,
    )
    # A second one that a slow server made is deleted by us, beside one that stays.
    return bool(found) and all(run.info.lifecycle_stage == "deleted" for run in found)


def is_run_deleted(client: "MlflowClient", run_id: str) -> bool:
    """Return whether a run is there, and was deleted.

    Args:
        client: one whose own retries are off.
        run_id: MLflow's.

    Raises:
        MlflowException: the store does not tell.
    """
    from mlflow.exceptions import MlflowException

    try:
        stage: str = client.get_run(run_id).info.lifecycle_stage
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":  # another, empty store by now
            return False
        raise
    return stage == "deleted"


def restore_run(client: "MlflowClient", run_id: str) -> bool:
    """Restore a run that was deleted while it was recorded, with its experiment.

    Args:
        client: a client whose own retries are off.
        run_id: MLflow's.

    Returns:
        Whether it was deleted.
    """
    run = client.get_run(run_id).info
    if run.lifecycle_stage == "active":
        return False
    experiment = client.get_experiment(run.experiment_id)
    if experiment.lifecycle_stage == "deleted":
        logger.warning(
            "MLflow experiment %r was deleted while a run of it is recorded; it is restored",
            experiment.name,
        )
        client.restore_experiment(run.experiment_id)  # with its runs
    else:
        logger.warning(
            "MLflow run %r was deleted while it is recorded; it is restored", run.run_name
        )
        client.restore_run(run_id)
    return True
