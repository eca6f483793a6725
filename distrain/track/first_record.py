"""What a journal says of its run first: which one it is, and what it is trained on."""

import logging
from pathlib import Path
from typing import Any

from distrain.track.journal_reading import DRIVER, written_by
from distrain.track.origin import LINEAGE_TAG

logger = logging.getLogger(__name__)


def first_facts(folder: Path) -> dict[str, Any]:
    """Return what the driver recorded of the run, or what its folders' names tell.

    Where the run has gone on, its tags are those that its last attempt began with.

    Args:
        folder: the journal's folder.

    Returns:
        `experiment`, `key` (one per run, forever), `name`, `tags`, `dataset` (see
        `describe.dataset_facts`; None: it is not known), and of a search `search` (see
        `layout.SearchLayout`).
    """
    facts: dict[str, Any] | None = None
    dataset: dict[str, Any] | None = None
    later: dict[str, str] = {}
    for record in written_by(DRIVER, folder):
        if record.kind == "run" and facts is None:
            facts = record.payload
        elif record.kind == "dataset":
            dataset = dataset or record.payload
        elif record.kind == "tags" and LINEAGE_TAG in record.payload:
            later |= record.payload
    facts = facts or _facts_of_folder(folder)
    return {**facts, "tags": {**facts["tags"], **later}, "dataset": dataset}


def _facts_of_folder(folder: Path) -> dict[str, Any]:
    """Return what a journal's first record says, from `<name>/<run>/journal`."""
    run_dir = folder.absolute().parent
    logger.warning("%s: the record of what the run is, is lost; its folder tells", folder)
    name, run = run_dir.parent.name, run_dir.name
    return {"experiment": name, "key": f"{name}/{run}", "name": run, "tags": {}}
