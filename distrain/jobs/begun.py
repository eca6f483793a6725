"""The run that a submission has begun already, wherever its job has gone.

A head that dies takes its list of jobs along; what a run was started with, on its storage, names
the submission. So the same submission never trains twice, whatever was lost in between.
"""

from pathlib import Path

from distrain.config.environment import expand_env
from distrain.errors import ConfigError
from distrain.jobs.ticket import Ticket
from distrain.run_folder import CONFIG
from distrain.stored_run import Started
from distrain.track.origin import JOB_TAG


def find_begun(ticket: Ticket) -> Path | None:
    """Return the folder of the run that a job has begun; None: it has begun none.

    Args:
        ticket: the job's.
    """
    if not ticket.runs:
        return None
    runs = sorted(Path(expand_env(ticket.runs)).glob(f"*/{CONFIG}"), reverse=True)
    return next((path.parent for path in runs if _is_of(path.parent, ticket.job_id)), None)


def _is_of(run_dir: Path, job_id: str) -> bool:
    try:
        started = Started.load(run_dir)
    except ConfigError:  # of a run that was cut off before anything had begun
        return False
    # The run that a search's winner becomes is the search's own to go on with.
    return started.tags.get(JOB_TAG) == job_id and started.won is None
