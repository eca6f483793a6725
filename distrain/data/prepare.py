"""From `data:` to a prepared dataset, on Ray Data; nothing is done that was done before.

```
find      a listing and recipe seen before lead to their digest: done
open      the beginnings of the files are read: names, formats, faults       (driver)
survey    every run is read and looked at; types are settled                 (Ray Data)
          task, classes and column kinds are settled                         (driver)
          the content's digest is known: a dataset that has it is used
fit       statistics of the training rows of every run                       (Ray Data)
write     every task turns its run into tensors and writes its shards        (Ray Data)
finish    manifest, rename, index                                            (driver)
```

With `data.ingest: stream` the training rows are not written: see `recipe.py`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

from distrain.config.data import OF_DATASETS, DataSettings, without_later_defaults
from distrain.data.cache import Cache, digest_of
from distrain.data.checking import open_checked
from distrain.data.files import Listing
from distrain.data.kinds import source_of
from distrain.data.plan import WINDOW_ROWS
from distrain.data.prepared import PreparedDataset
from distrain.data.recipe import WINDOW_BYTES, located
from distrain.data.remote_cache import RemoteCache
from distrain.data.runs import RUN_ROWS
from distrain.data.same import KnownData
from distrain.data.shard_cache import shard_cache
from distrain.data.shards import FORMAT_VERSION, SPLITS, write_manifest
from distrain.data.sources import list_source
from distrain.data.units import UNIT_BYTES
from distrain.errors import DataError

PLACES: Final = ("source", "test_source", "cache", "ingest")


@final
@dataclass(frozen=True)
class Prepared:
    """A prepared dataset, and whether it was there already."""

    dataset: PreparedDataset
    reused: bool

    @property
    def digest(self) -> str:
        """Return the dataset's digest."""
        return self.dataset.digest

    @property
    def rows(self) -> dict[str, int]:
        """Return the number of rows of each split."""
        splits = self.dataset.manifest["splits"]
        return {name: int(splits[name]["num_rows"]) for name in SPLITS}

    @property
    def findings(self) -> list[dict[str, Any]]:
        """Return what was found in the data: kind, column, message, count."""
        return list(self.dataset.manifest["findings"])


def find_prepared(
    data: DataSettings, *, cache: Path | str, listings: Sequence[Listing] | None = None
) -> PreparedDataset | None:
    """Return the prepared dataset of an unchanged source, None where there is none. Needs no Ray.

    Args:
        data: the configuration.
        cache: the folder of prepared datasets, or its URI; not made.
        listings: the files of the source and of the test source; None: they are listed now.

    Raises:
        DataError: the source is not there, or the URI cannot be read.
    """
    if data.dataset is not None:
        from distrain.data.own.making import find  # imports torch

        return find(data, cache)
    return _listed(data, cache, listings).find()


def prepare(data: DataSettings, *, cache: Path | str, known: KnownData | None = None) -> Prepared:
    """Return the prepared dataset of a source, made now unless it is there.

    An initialised Ray is needed if there is work to do. Writes below `cache`, and on any error
    leaves nothing there, or at a URI only what does not count as a dataset.

    Args:
        data: the configuration.
        cache: the folder of prepared datasets, or its URI; every node must see it.
        known: what it has to be; None: anything.

    Raises:
        DataError: the data is at fault, or not what is known of it, or the cache cannot be written.
    """
    if data.dataset is not None:
        from distrain.data.own.making import make  # imports torch

        return Prepared(*make(data, cache, known))
    listed = _listed(data, cache)
    found = listed.find()
    if found is not None:
        return _reused(found, known)
    source, test = open_checked(data)
    with listed.cache.making() as folder:
        found = listed.find()
        if found is not None:
            return _reused(found, known)
        # Ray Data takes seconds to import, which a dataset that is there should not cost.
        from distrain.data.making import Making
        from distrain.data.on_ray import data_context
        from distrain.data.survey import survey

        with data_context():
            surveyed = survey(data, source, test)
            digest = digest_of(FORMAT_VERSION, surveyed.content(), listed.recipe)
            if known is not None:
                known.check(digest, surveyed.files())
            found = listed.cache.open(digest)
            if found is None:
                place = listed.cache.place(folder, digest)
                head = {"digest": digest, "recipe": listed.recipe}
                manifest = Making(surveyed, place).make(head)
        _check_unchanged(data, listed.listings)
        if found is not None:
            listed.cache.note(digest)
            return Prepared(listed.located(found), reused=True)
        write_manifest(place, manifest)
        return Prepared(listed.located(listed.cache.keep(place, digest)), reused=False)


def _reused(dataset: PreparedDataset, known: KnownData | None) -> Prepared:
    if known is not None:
        known.check(dataset.digest, dataset.manifest["sources"])
    return Prepared(dataset, reused=True)


@final
@dataclass(frozen=True)
class _Listed:
    """A source's files, the recipe, and the cache as both see it."""

    listings: tuple[Listing, ...]
    recipe: dict[str, Any]
    cache: Cache | RemoteCache

    def find(self) -> PreparedDataset | None:
        """Return the prepared dataset of these very files, None where there is none."""
        found = self.cache.find()
        return None if found is None else self.located(found)

    def located(self, dataset: PreparedDataset) -> PreparedDataset:
        """Return a dataset of this content, streamed from these files where it is streamed."""
        return located(dataset, self.listings[0].files)


def _listed(
    data: DataSettings, cache: Path | str, known: Sequence[Listing] | None = None
) -> _Listed:
    listings = tuple(_list_all(data) if known is None else known)
    recipe = _recipe(data, listings[0])
    key = digest_of(FORMAT_VERSION, [listing.to_json() for listing in listings], recipe)
    return _Listed(listings, recipe, _cache(data, cache, key))


def _cache(data: DataSettings, cache: Path | str, key: str) -> Cache | RemoteCache:
    if isinstance(cache, Path):
        return Cache(cache, key)
    asked = data.cache
    return RemoteCache(cache, key, shard_cache(asked.local_path, asked.max_bytes))


def _list_all(data: DataSettings) -> Iterator[Listing]:
    yield list_source(source_of(data), data.format)
    if data.test_source is not None:
        yield list_source(data.test_source, data.format)


def _recipe(data: DataSettings, listing: Listing) -> dict[str, Any]:
    """Return all that the outcome depends on beside the content of the files."""
    given = data.model_dump(mode="json", exclude={*PLACES, *OF_DATASETS})
    recipe = without_later_defaults(given)
    recipe["format"] = listing.format
    recipe["has_test_source"] = data.test_source is not None
    recipe["run_rows"] = RUN_ROWS
    recipe["unit_bytes"] = UNIT_BYTES
    if data.ingest == "stream":
        recipe["streamed"] = {"window_rows": WINDOW_ROWS, "window_bytes": WINDOW_BYTES, "form": 2}
    return recipe


def _check_unchanged(data: DataSettings, before: tuple[Listing, ...]) -> None:
    after = tuple(_list_all(data))
    if [listing.to_json() for listing in after] != [listing.to_json() for listing in before]:
        raise DataError(
            "the files changed while they were read",
            where="data.source",
            expected="files that stay as they are until they are prepared",
            mend="Run again when nothing writes to them.",
        )
