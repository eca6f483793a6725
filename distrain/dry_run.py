"""What `train` and `tune` would do, for `--dry-run`: checked and estimated; nothing is trained.

Of a run no more is told than can be without starting anything. A search takes far longer than its
data, which it is therefore timed on: where that is not prepared, it is prepared first, and kept.
"""

from collections.abc import Sequence

from distrain.config.settings import Settings
from distrain.data.checking import quick_check
from distrain.data.prepare import find_prepared
from distrain.display import Display
from distrain.estimate import estimate_run
from distrain.locations import cache_of, data_of, storage_of
from distrain.readiness import check, find_or_prepare, make_importable
from distrain.results import Estimate, SearchEstimate
from distrain.search_checks import check_own_constraints, check_search
from distrain.search_estimate import estimate_of_search
from distrain.track.tracking_server import TrackingServer
from distrain.tune.earlier import find_earlier, read_earlier
from distrain.tune.space import Space
from distrain.workplace import place_text, planned_placement, planned_places


def estimate(
    settings: Settings, import_paths: Sequence[str] = (), *, is_offline: bool = False
) -> Estimate:
    """Return what a run would do, for `--dry-run`; nothing is started.

    Raises:
        DistrainError: what `train` would refuse too.
    """
    make_importable(import_paths)
    return _estimate(settings, check(settings, is_offline=is_offline))


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
    make_importable(import_paths)
    check_search(settings)
    found = find_earlier(settings, storage_of(settings))
    assert settings.tune is not None
    placement = planned_places(settings).trials
    server = check(settings, is_offline=is_offline, is_search=True)
    check_own_constraints(settings)
    earlier = None if found is None else read_earlier(found, settings, Space.of(settings))
    expanded = settings.model_copy(update={"data": data_of(settings)})
    if find_prepared(expanded.data, cache=cache_of(settings)) is None:
        display.note("the data is prepared first, to time trials on it; the search will use it")
    dataset = find_or_prepare(settings, display).dataset
    together = settings.train.model_copy(update={"num_workers": settings.tune.workers_per_trial})
    trial = _estimate(settings.model_copy(update={"train": together}), server)
    return estimate_of_search(expanded, trial, placement, dataset, earlier)


def _estimate(settings: Settings, server: TrackingServer) -> Estimate:
    expanded = settings.model_copy(update={"data": data_of(settings)})
    return estimate_run(
        expanded,
        quick_check(expanded.data),
        cache=cache_of(settings),
        placement=planned_placement(settings),
        place=place_text(settings),
        tracking=server.shown,
    )
