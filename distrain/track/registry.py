"""The MLflow registry: a model version that proves its origin, made once.

Everything here is got or created by a key that is the same at every attempt, so that a lost answer
or a second attempt makes no second version.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, final

from distrain.errors import TrackingError, first_line
from distrain.track.model_versions import RegisteredVersion, unanswered
from distrain.track.sending import KEY_TAG, is_refusal
from distrain.track.tracking_server import TrackingServer, as_default, connect

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel

MODEL_ARTIFACT = "model"
RETRY_S = 60.0
FIRST_PAUSE_S = 0.5

T = TypeVar("T")
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


def register_model(
    server: TrackingServer,
    model: Path,
    facts: ModelFacts,
    *,
    alias: str | None = None,
    timeout_s: float = RETRY_S,
) -> RegisteredVersion:
    """Store a model, make a version of it, and move an alias to it; return the version.

    Args:
        server: the tracking store.
        model: the MLflow model's folder, as `pyfunc_model.build_pyfunc` writes it; the ids that
            MLflow gives are written into it.
        facts: what the version says about itself.
        alias: moves to the version; None: none does.
        timeout_s: seconds to go on trying while the server does not answer.

    Raises:
        TrackingError: the server refuses, or does not answer for that long.
    """

    def register() -> RegisteredVersion:
        client = connect(server)
        model_id = _store_model(client, model, facts)
        with as_default(server):
            version = _find_or_create_version(client, model_id, facts)
        if alias is not None:
            client.set_registered_model_alias(facts.name, alias, version)
        return RegisteredVersion(facts.name, version, alias)

    return _persistently(register, server, timeout_s)


def _store_model(client: "MlflowClient", model: Path, facts: ModelFacts) -> str:
    """Make the logged model with its files, or find it, and return its id."""
    from mlflow.entities import LoggedModelOutput

    logged = _find_logged_model(client, facts)
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
        client.log_model_artifacts(model_id, str(model))
        client.finalize_logged_model(model_id, "READY")
    outputs = client.get_run(facts.run_id).outputs
    if model_id not in [output.model_id for output in (outputs.model_outputs if outputs else [])]:
        client.log_outputs(facts.run_id, [LoggedModelOutput(model_id, step=0)])
    _link_metrics(client, model_id, facts)
    return model_id


def _find_logged_model(client: "MlflowClient", facts: ModelFacts) -> "LoggedModel | None":
    found = client.search_logged_models(
        [facts.experiment_id], filter_string=f"tags.`{KEY_TAG}` = '{facts.key}'", max_results=1
    )
    return found[0] if found else None


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
        return str(found[0].version)
    created = client.create_model_version(
        facts.name,
        f"models:/{model_id}",
        run_id=facts.run_id,
        tags=facts.own_tags,
        description=facts.description,
        model_id=model_id,
    )
    return str(created.version)


def _persistently(call: Callable[[], T], server: TrackingServer, timeout_s: float) -> T:
    """Return what a repeatable call returns, trying again while the server does not answer."""
    deadline = time.monotonic() + timeout_s
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            return call()
        except TrackingError:
            raise
        except Exception as error:
            # Artifact stores raise errors of their own clients: requests, boto3, the disk's.
            if is_refusal(error) or time.monotonic() + pause_s > deadline:
                raise unanswered(server, error) from error
            logger.info("trying again in %.1f s: %s", pause_s, first_line(error))
        time.sleep(pause_s)
        pause_s = min(pause_s * 2, 10.0)
