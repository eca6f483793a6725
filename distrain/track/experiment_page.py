"""What a search writes on its experiment's page: its saved views, and what counts there.

Tags, so that writing them again changes nothing. A store that refuses one leaves the search as it
is: the page then looks as MLflow makes it, and a line says so.
"""

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from distrain.track.layout import layout_in, primary_metric_tags
from distrain.track.saved_views import superfluous, view_tags
from distrain.track.sending import is_refusal

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)


def lay_out(
    client: "MlflowClient",
    experiment_id: str,
    facts: Mapping[str, Any],
    at_ms: int,
    *,
    num_trials: int = 0,
) -> None:
    """Write a search's views into its experiment, and let those of the oldest searches go.

    May be repeated. Of what is no search, nothing is written.

    Args:
        client: one whose own retries are off.
        experiment_id: MLflow's.
        facts: the first record of the run.
        at_ms: when the search began, or ended, in milliseconds since 1970.
        num_trials: how many it came to, once the best have ranks; 0: they have none yet.
    """
    layout = layout_in(facts)
    if layout is None:
        return
    views = view_tags(facts["key"], layout, at_ms, num_trials=num_trials)
    tags = {**primary_metric_tags(layout), **views}
    for name, text in tags.items():
        _unless(is_refusal, partial(client.set_experiment_tag, experiment_id, name, text), name)
    held = client.get_experiment(experiment_id).tags
    for name in superfluous(held):
        _unless(_is_in_vain, partial(client.delete_experiment_tag, experiment_id, name), name)


def _is_in_vain(error: Exception) -> bool:
    """Return whether a tag cannot be taken away: another search may have done so just now."""
    is_gone = getattr(error, "error_code", None) == "RESOURCE_DOES_NOT_EXIST"
    return is_gone or is_refusal(error)


def _unless(is_final: Callable[[Exception], bool], request: Callable[[], None], name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        request()
    except MlflowException as error:
        if not is_final(error):
            raise
        logger.warning("the experiment's tag %s is left as it is: %s", name, error)
