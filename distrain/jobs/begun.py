"""The run that a submission has begun already, wherever its job has gone.

A head that dies takes its list of jobs along; what a run was started with, on its storage, names
the submission. So the same submission never trains twice, whatever was lost in between.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from distrain.config.environment import expand_env
from distrain.errors import ConfigError
from distrain.jobs.ticket import Ticket
from distrain.object_store.bucket import Bucket
from distrain.object_store.fitness import check_store
from distrain.object_store.place import Place, remote_text
from distrain.object_store.runs import cannot_tell, fetch_summaries
from distrain.run_folder import CONFIG, STARTED
from distrain.stored_run import Started
from distrain.track.origin import JOB_TAG


def find_begun(ticket: Ticket) -> str | None:
    """Return the folder, or the URI, of the run that a job has begun; None: it has begun none.

    Args:
        ticket: the job's.

    Raises:
        ConfigError: the storage is a store that lets nobody in, or has no such bucket.
        StorageError: it is a store that does not answer.
    """
    if not ticket.storage:
        return None
    storage = expand_env(ticket.storage)
    uri = remote_text(storage)
    if uri is not None:
        return _begun_at_store(Place.parse(uri).below(ticket.name), ticket.job_id)
    found = _newest_first(Path(storage) / ticket.name)
    return next((str(run_dir) for run_dir in found if _is_of(run_dir, ticket.job_id)), None)


def _begun_at_store(experiment: Place, job_id: str) -> str | None:
    """Return the URI of the run of an experiment that a job has begun."""
    with tempfile.TemporaryDirectory(prefix="distrain-runs-") as temporary:
        try:
            runs = [experiment.below(run) for run in Bucket(experiment).folders()]
            fetch_summaries(runs, Path(temporary), (CONFIG, STARTED))
        except OSError as fault:
            check_store(experiment.parent)  # tells what is amiss, where that can be told
            raise cannot_tell(experiment, fault) from fault
        found = _newest_first(Path(temporary) / experiment.name)
        return next(
            (experiment.below(run.name).uri for run in found if _is_of(run, job_id)),
            None,
        )


def _newest_first(folder: Path) -> Iterator[Path]:
    """Give the folders of runs that have begun; those of a store are copies of a few files."""
    return (path.parent for path in sorted(folder.glob(f"*/{CONFIG}"), reverse=True))


def _is_of(run_dir: Path, job_id: str) -> bool:
    try:
        started = Started.load(run_dir)
    except ConfigError:  # of a run that was cut off before anything had begun
        return False
    # The run that a search's winner becomes is the search's own to go on with.
    return started.tags.get(JOB_TAG) == job_id and started.won is None
