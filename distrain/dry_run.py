"""What `train` and `tune` would do, for `--dry-run`: checked and estimated, nothing is started."""

from collections.abc import Sequence

from distrain.config.settings import Settings
from distrain.data.checking import quick_check
from distrain.data.prepare import find_prepared
from distrain.estimate import estimate_run
from distrain.locations import cache_of, data_of, storage_of
from distrain.readiness import check, make_importable
from distrain.results import Estimate, SearchEstimate
from distrain.search_checks import check_search
from distrain.search_estimate import estimate_of_search
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
    server = check(settings, is_offline=is_offline)
    expanded = settings.model_copy(update={"data": data_of(settings)})
    return estimate_run(
        expanded,
        quick_check(expanded.data),
        cache=cache_of(settings),
        placement=planned_placement(settings),
        place=place_text(settings),
        tracking=server.shown,
    )


def estimate_search(
    settings: Settings, import_paths: Sequence[str] = (), *, is_offline: bool = False
) -> SearchEstimate:
    """Return what a search would do, for `--dry-run`; nothing is started.

    Raises:
        DistrainError: what `tune` would refuse too.
    """
    make_importable(import_paths)
    check_search(settings)
    found = find_earlier(settings, storage_of(settings))
    earlier = None if found is None else read_earlier(found, settings, Space.of(settings))
    assert settings.tune is not None
    placement = planned_places(settings).trials
    together = settings.train.model_copy(update={"num_workers": settings.tune.workers_per_trial})
    trial = estimate(
        settings.model_copy(update={"train": together}), import_paths, is_offline=is_offline
    )
    expanded = settings.model_copy(update={"data": data_of(settings)})
    dataset = find_prepared(expanded.data, cache=cache_of(settings))
    return estimate_of_search(expanded, trial, placement, dataset, earlier)
