"""A search's report, written: at its end, and whenever it is asked for."""

import time
from pathlib import Path

from distrain.durable import write_atomically
from distrain.report.search.page import search_page
from distrain.report.search.view import read_search
from distrain.results import TuneResult


def write_search_report(run_dir: Path, out: Path, result: TuneResult | None = None) -> str:
    """Write a search's report, whole or not at all, and return how the search stands in it.

    Args:
        run_dir: the search's folder.
        out: the file to write.
        result: how it ended, where its command is about to write that; None: what it has written.

    Raises:
        ConfigError: the configuration cannot be read.
        CheckpointError: an event is damaged.
        OSError: the journal cannot be read, or the file not be written.
    """
    search = read_search(run_dir, result)
    drawn = search_page(search, round(1000 * time.time()))
    write_atomically(out, drawn.encode(errors="replace"))
    return search.status
