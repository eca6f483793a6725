"""The MLflow registry: a model version that proves its origin, made once.

Everything here is got or created by a key that is the same at every attempt, so that a lost answer
or a second attempt makes no second version.
"""

import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, final

from distrain.track.aliases import (
    HOLDER_TAG,
    NOBODY,
    WHY_TAG,
    Move,
    holder_of,
    is_made,
    move_alias,
    note_verdict,
    overtaken,
)
from distrain.track.model_versions import RegisteredVersion
from distrain.track.sending import KEY_TAG, files_below
from distrain.track.tracking_server import TrackingServer, as_default
from distrain.track.version_page import fitting, name_itself

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel

MODEL_ARTIFACT = "model"

logger = logging.getLogger(__name__)


@final
@dataclass(frozen=True)
class ModelFacts:
    """What a model version says about itself.

    Attributes:
        name: registered-model name.
        key: deterministic, one for each version, such as `<experiment>/<run>`.
        run_id: MLflow's id of the run that it comes from.
        experiment_id: MLflow's.
        tags: lineage; those of distrain's own go on the model and on the version.
        params: the run's parameters, copied to the model.
        description: of the version, Markdown.
        dataset_name: as in the run's dataset inputs, without the split.
        dataset_digest: of the prepared dataset, 64 hex digits.
        test_metrics: names of the run's metrics that the model is judged by.
    """

    name: str
    key: str
    run_id: str
    experiment_id: str
    tags: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    description: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""
    test_metrics: tuple[str, ...] = ()

    @property
    def own_tags(self) -> dict[str, str]:
        """What the model and the version are tagged with, the key included."""
        own = {name: text for name, text in self.tags.items() if name.startswith("distrain.")}
        return own | {KEY_TAG: self.key}


def register_version(
    client: "MlflowClient",
    server: TrackingServer,
    model: Path,
    facts: ModelFacts,
    *,
    alias: str | None,
    asked_ms: int,
) -> RegisteredVersion:
    """Store a model, make a version of it, and move an alias to it; may be repeated.

    Args:
        client: a client of the store whose own retries are off.
        server: the tracking store.
        model: the MLflow model's folder, as `pyfunc_model.build_pyfunc` writes it; the ids that
            MLflow gives are written into it.
        facts: what the version says about itself.
        alias: moves to the version, unless it is held by one that was made after it was asked for,
            or this very request moved it before; None: none does.
        asked_ms: when that was, in milliseconds since 1970.

    Returns:
        The version, with the alias where it holds it now.
    """
    model_id = _store_model(client, model, facts)
    with as_default(server):
        version = _find_or_create_version(client, model_id, facts)
    name_itself(client, facts.name, version)
    is_moved = alias is not None and _move_alias(client, facts, alias, version, asked_ms)
    return RegisteredVersion(facts.name, version, alias if is_moved else None)


def _move_alias(
    client: "MlflowClient", facts: ModelFacts, alias: str, version: str, asked_ms: int
) -> bool:
    """Move an alias to a version; return whether the version has it now."""
    holder = holder_of(client, facts.name, alias)
    expected = facts.tags.get(HOLDER_TAG)
    if expected is not None:
        expected = None if expected == NOBODY else expected
    elif holder is not None and holder != version:
        made_ms: int = client.get_model_version(facts.name, holder).creation_timestamp
        # What a journal asks for after an outage, or once more, may be old news.
        expected = holder if made_ms <= asked_ms else None
    why = facts.tags.get(WHY_TAG, "")
    user = facts.tags.get("mlflow.user", "")
    run = facts.tags.get("distrain.run")
    move = Move(alias, expected, version, who=user, why=why, evidence=run, asked_ms=asked_ms)
    if holder != version and is_made(client, facts.name, move):
        logger.warning(
            "%s version %s: %s stays: it moved there before, and has moved on since",
            facts.name,
            version,
            alias,
        )
        return False
    refusal = move_alias(client, facts.name, move)
    if refusal is not None:
        logger.warning("%s version %s: %s stays: %s", facts.name, version, alias, refusal)
        if HOLDER_TAG in facts.tags:
            note_verdict(client, facts.name, version, overtaken(facts.own_tags, refusal))
    return refusal is None


def _store_model(client: "MlflowClient", model: Path, facts: ModelFacts) -> str:
    """Make the logged model with its files, or find it, and return its id."""
    from mlflow.entities import LoggedModelOutput

    logged, doubles = _find_logged_models(client, facts)
    if logged is None:
        logged = client.create_logged_model(
            facts.experiment_id,
            name=MODEL_ARTIFACT,
            source_run_id=facts.run_id,
            tags=facts.own_tags,
            params=dict(facts.params),
            model_type="distrain",
        )
    model_id: str = logged.model_id
    if str(logged.status) != "READY":
        _stamp(model, model_id, facts.run_id)
        for file, place in files_below(model):
            client.log_model_artifact(model_id, str(file), place or None)
        client.finalize_logged_model(model_id, "READY")
    for double in doubles:
        client.delete_logged_model(double.model_id)
    outputs = client.get_run(facts.run_id).outputs
    if model_id not in [output.model_id for output in (outputs.model_outputs if outputs else [])]:
        client.log_outputs(facts.run_id, [LoggedModelOutput(model_id, step=0)])
    _link_metrics(client, model_id, facts)
    return model_id


def _find_logged_models(
    client: "MlflowClient", facts: ModelFacts
) -> "tuple[LoggedModel | None, list[LoggedModel]]":
    """Return the model that is there, and those that a server made when nobody waited any more."""
    found = client.search_logged_models(
        [facts.experiment_id],
        filter_string=f"tags.`{KEY_TAG}` = '{facts.key}'",
        order_by=[{"field_name": "creation_timestamp", "ascending": True}],
    )
    best_first = sorted(found, key=lambda logged: str(logged.status) != "READY")
    return (best_first[0], best_first[1:]) if best_first else (None, [])


def _stamp(model: Path, model_id: str, run_id: str) -> None:
    """Write the ids that MLflow gave into the model's own description."""
    from mlflow.models import Model

    description = Model.load(str(model))
    description.model_id, description.run_id = model_id, run_id
    description.save(str(model / "MLmodel"))


def _link_metrics(client: "MlflowClient", model_id: str, facts: ModelFacts) -> None:
    """Log the run's test metrics for the model too, with the timestamps that they have there."""
    from mlflow.entities import Metric

    rows = []
    for name in facts.test_metrics:
        for metric in client.get_metric_history(facts.run_id, name)[-1:]:
            rows.append(
                Metric(
                    name,
                    metric.value,
                    metric.timestamp,
                    metric.step,
                    model_id=model_id,
                    dataset_name=f"{facts.dataset_name}/test",
                    dataset_digest=facts.dataset_digest[:32],
                    run_id=facts.run_id,
                )
            )
    if rows:
        client.log_batch(facts.run_id, metrics=rows, synchronous=True)


def _find_or_create_version(client: "MlflowClient", model_id: str, facts: ModelFacts) -> str:
    from mlflow.exceptions import MlflowException

    with contextlib.suppress(MlflowException):
        # Refused where it is there already; other trouble shows in what follows.
        client.create_registered_model(facts.name)
    found = client.search_model_versions(
        f"name = '{facts.name}' AND tags.`{KEY_TAG}` = '{facts.key}'", max_results=1
    )
    if found:
        version = str(found[0].version)
        if HOLDER_TAG in facts.tags:
            note_verdict(client, facts.name, version, facts.tags)
        return version
    created = client.create_model_version(
        facts.name,
        f"models:/{model_id}",
        run_id=facts.run_id,
        tags=facts.own_tags,
        description=fitting(facts.description),
        model_id=model_id,
    )
    return str(created.version)
