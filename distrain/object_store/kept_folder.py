"""A folder that is kept at a store below a name of its content, by whoever needs it first."""

from pathlib import Path

from distrain.object_store.bucket import Bucket
from distrain.object_store.fitness import check_store
from distrain.object_store.place import Place
from distrain.object_store.runs import cannot_tell


def keep_folder(folder: Path, place: Place) -> None:
    """Put the files of a folder that are not there yet; return when the store has all of them.

    Whoever relies on the place has called this, so one that was left half done is made whole.

    Args:
        folder: with all of its files.
        place: named by their content, so that nothing else is ever put there.

    Raises:
        ConfigError: the store lets nobody in, or there is no such bucket.
        StorageError: it does not take them.
    """
    check_store(place.parent)
    below = Bucket(place)
    try:
        there = {entry.name: entry.num_bytes for entry in below.entries("")}
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            name = path.relative_to(folder).as_posix()
            if there.get(name) != path.stat().st_size:
                below.put_file(name, path)
    except OSError as fault:
        raise cannot_tell(place, fault) from fault
