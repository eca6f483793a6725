"""The first rows of a source, prepared in this process: what a dry run is timed on. No Ray.

What is made of them is what would be made of the whole source if it had no more rows: the columns
are encoded alike, and a step costs the same, but for values that come later.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from distrain.config.data import DataSettings
from distrain.data.files import Listing
from distrain.data.making import Making
from distrain.data.opening import open_listed
from distrain.data.prepared import PreparedDataset
from distrain.data.reading import PieceRead, Reading, Unit
from distrain.data.runs import Run, read_runs
from distrain.data.shards import write_manifest
from distrain.data.survey import Survey, survey
from distrain.data.units import UNIT_BYTES

DIGEST: Final = "0" * 64
"""Of no dataset: a sample is in no cache."""


@contextmanager
def sample_dataset(data: DataSettings, listing: Listing) -> Iterator[PreparedDataset]:
    """Give the first run of a source prepared, in a temporary folder, for a `with` block.

    Args:
        data: the configuration; its test source is left alone.
        listing: the files of the source.

    Raises:
        DataError: these rows are not fit to learn from, though more of them may be.
        OSError: there is no room in the temporary folder.
    """
    surveyed = sample_survey(data, listing)
    with TemporaryDirectory(prefix="distrain-sample-") as parent:
        folder = Path(parent) / DIGEST
        manifest = Making(surveyed, folder).make({"digest": DIGEST, "recipe": {}})
        write_manifest(folder, manifest)
        yield PreparedDataset.open(folder)


def sample_survey(data: DataSettings, listing: Listing) -> Survey:
    """Return what the first run of a source holds, and what is made of its columns.

    Args:
        data: the configuration; its test source is left alone.
        listing: the files of the source.

    Raises:
        DataError: these rows are not fit to learn from, though more of them may be.
    """
    alone = data.model_copy(update={"test_source": None, "ingest": "prepared"})
    return survey(alone, open_listed(_beginning(listing), data.read), None, _first_run)


def _beginning(listing: Listing) -> Listing:
    """Return the first files of a listing, as many as are read in one go at least."""
    sizes = accumulate(file.num_bytes for file in listing.files)
    count = next((n for n, size in enumerate(sizes, 1) if size >= UNIT_BYTES), None)
    # The two files of idx are one source.
    return listing if listing.format == "idx" else replace(listing, files=listing.files[:count])


def _first_run(units: Sequence[Unit], reading: Reading) -> tuple[Run, ...]:
    run = next(read_runs(units[0], reading))
    pieces = (piece for unit in units for piece in unit.pieces)
    num_rows = {piece.file_number: piece.num_rows for piece in run.pieces}
    read = {
        piece.file_number: PieceRead(
            piece.file_number,
            0,
            DIGEST,
            piece.file.num_bytes,
            num_rows.get(piece.file_number, 0),
        )
        for piece in pieces
    }
    return (replace(run, pieces=tuple(read.values())),)
