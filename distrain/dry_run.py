"""What `train` and `tune` would do, for `--dry-run`: checked and estimated; nothing is trained.

Of a run no more is told than can be without starting anything. A search takes far longer than its
data, which it is therefore timed on: where that is not prepared, it is prepared first, and kept.
"""

from collections.abc import Sequence
from dataclasses import replace

from distrain.config.settings import Settings
from distrain.config.targets import user_targets
from distrain.data.prepare import find_prepared
from distrain.data.prepared import PreparedDataset
from distrain.display import Display
from distrain.estimate import Where, estimate_run
from distrain.estimates import Estimate, NamedCode, SearchEstimate
from distrain.initial_weights import with_initial_weights
from distrain.locations import cache_of, data_of, storage_named
from distrain.readiness import Checked, check, find_or_prepare, make_importable
from distrain.search_checks import check_own_constraints, check_search
from distrain.search_estimate import estimate_of_search
from distrain.track.user_code import file_of
from distrain.train.placement import Placement, num_cores
from distrain.tune.earlier import check_earlier, opened_earlier, read_earlier
from distrain.tune.space import Space
from distrain.workplace import (
    is_on_local_ray,
    place_text,
    planned_placement,
    planned_places,
)


def estimate(
    settings: Settings, import_paths: Sequence[str] = (), *, is_offline: bool = False
) -> Estimate:
    """Return what a run would do, for `--dry-run`; nothing is started.

    Raises:
        DistrainError: what `train` would refuse too.
    """
    make_importable(import_paths, settings)
    checked = check(settings, is_offline=is_offline)
    settings = with_initial_weights(settings)
    estimated = _estimate(settings, checked, _find(settings, checked))
    return replace(estimated, code=code_of(settings))


def estimate_search(
    settings: Settings,
    display: Display,
    import_paths: Sequence[str] = (),
    *,
    is_offline: bool = False,
) -> SearchEstimate:
    """Return what a search would do, for `--dry-run`; no trial is started.

    Prepares the data, on Ray, unless it is prepared already: the search will find it.

    Raises:
        DistrainError: what `tune` would refuse too.
    """
    make_importable(import_paths, settings, is_search=True)
    check_search(settings)
    check_earlier(settings, storage_named(settings))
    assert settings.tune is not None
    placement = planned_places(settings).trials
    checked = check(settings, is_offline=is_offline, is_search=True)
    check_own_constraints(settings)
    with opened_earlier(settings, storage_named(settings)) as found:
        earlier = None if found is None else read_earlier(found, settings, Space.of(settings))
    expanded = with_initial_weights(settings.model_copy(update={"data": data_of(settings)}))
    dataset = _find(settings, checked)
    if dataset is None:
        display.note("the data is prepared first, to time trials on it; the search will use it")
        dataset = find_or_prepare(settings, display).dataset
    together = settings.train.model_copy(update={"num_workers": settings.tune.workers_per_trial})
    trial = _estimate(expanded.model_copy(update={"train": together}), checked, dataset)
    estimated = estimate_of_search(expanded, trial, placement, dataset, earlier)
    return replace(estimated, code=code_of(settings, is_search=True))


def code_of(settings: Settings, *, is_search: bool = False) -> tuple[NamedCode, ...]:
    """Return the user's own code that the settings name, and where each would be read from.

    Args:
        settings: with defaults resolved; their code can be imported.
        is_search: as for `user_targets`.
    """
    return tuple(
        NamedCode(key, target, file_of(target))
        for key, target in user_targets(settings, is_search=is_search)
    )


def _find(settings: Settings, checked: Checked) -> PreparedDataset | None:
    """Return the prepared data; the source, which may have many files, is not listed again."""
    listings = checked.source.listings
    return find_prepared(data_of(settings), cache=cache_of(settings), listings=listings)


def _estimate(settings: Settings, checked: Checked, dataset: PreparedDataset | None) -> Estimate:
    expanded = settings.model_copy(update={"data": data_of(settings)})
    placement = planned_placement(settings)
    where = Where(
        placement, place_text(settings), checked.server.shown, _num_at_a_time(settings, placement)
    )
    return estimate_run(expanded, checked.source, dataset, where)


def _num_at_a_time(settings: Settings, placement: Placement) -> int | None:
    """Return how many workers what they share has room for; None: each has its own."""
    if placement.gpu:
        shared = max(1, int(placement.num_workers * placement.gpu))
        return shared if placement.gpu < 1 else None
    if not is_on_local_ray(settings):
        return None
    return max(1, num_cores() // settings.train.threads_per_worker)
