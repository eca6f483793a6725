"""The MLflow registry: a model version that proves its origin, made once, found by name or alias.

Everything here is got or created by a key that is the same at every attempt, so that a lost answer
or a second attempt makes no second version.
"""

import contextlib
import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, final

from distrain.errors import ConfigError, TrackingError, did_you_mean
from distrain.track.sending import KEY_TAG, is_refusal
from distrain.track.tracking_server import TrackingServer, as_default, connect, load_mlflow

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel
    from mlflow.entities.model_registry import ModelVersion

MODEL_ARTIFACT = "model"
RETRY_S = 60.0

_MODEL_URI = re.compile(r"^models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>[^/@]+))?$")

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
        tags: lineage, on the model and on the version.
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


@final
@dataclass(frozen=True)
class RegisteredVersion:
    """A model version.

    Attributes:
        name: registered-model name.
        version: its number, as text.
        alias: the alias that was moved to it; None: none was.
        model_id: MLflow's id of the logged model behind it.
    """

    name: str
    version: str
    alias: str | None
    model_id: str | None

    @property
    def uri(self) -> str:
        """The version's own URI, which always means the same."""
        return f"models:/{self.name}/{self.version}"


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
        return RegisteredVersion(facts.name, version, alias, model_id)

    return _persistently(register, server, timeout_s)


def set_alias(
    server: TrackingServer, name: str, version: str, alias: str, *, timeout_s: float = RETRY_S
) -> None:
    """Move an alias to a version.

    Raises:
        TrackingError: the server refuses, or does not answer for that long.
    """
    _persistently(
        lambda: connect(server).set_registered_model_alias(name, alias, version), server, timeout_s
    )


def find_version(server: TrackingServer, uri: str) -> RegisteredVersion:
    """Return the version that a URI names.

    Args:
        server: the tracking store.
        uri: `models:/name@alias`, `models:/name/3`, `models:/name/latest` or `models:/name`, which
            is the latest too.

    Raises:
        ConfigError: there is no such model, version or alias.
        TrackingError: the server does not answer.
    """
    found = _MODEL_URI.match(uri)
    if found is None:
        raise ConfigError(
            "this is no model URI",
            where=uri,
            expected="models:/name@alias or models:/name/3",
        )
    client = connect(server)
    name, alias, version = found["name"], found["alias"], found["version"]
    load_mlflow()
    from mlflow.exceptions import MlflowException

    chosen: ModelVersion | None
    try:
        if alias:
            chosen = client.get_model_version_by_alias(name, alias)
        elif version and version != "latest":
            chosen = client.get_model_version(name, version)
        else:
            chosen = _latest(client, name)
    except MlflowException as error:
        raise _not_found(client, server, uri, found.groupdict(), error) from error
    if chosen is None:
        raise _not_found(client, server, uri, found.groupdict(), None)
    return RegisteredVersion(name, str(chosen.version), alias, _model_id_of(chosen))


def download_model(server: TrackingServer, version: RegisteredVersion, folder: Path) -> Path:
    """Copy a version's files into a folder and return the MLflow model's folder there.

    Raises:
        TrackingError: the files cannot be had.
    """
    load_mlflow()
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    client = connect(server)
    try:
        source = client.get_model_version_download_uri(version.name, version.version)
        if source.startswith("models:/m-"):
            source = client.get_logged_model(source.removeprefix("models:/")).artifact_location
        return Path(
            download_artifacts(artifact_uri=source, dst_path=str(folder), tracking_uri=server.uri)
        )
    except (MlflowException, OSError) as error:
        raise TrackingError(
            f"the model's files cannot be read ({_first_line(error)})",
            where=version.uri,
            expected="a model that is still stored",
            mend="Was its folder moved or removed?",
        ) from error


def _store_model(client: "MlflowClient", model: Path, facts: ModelFacts) -> str:
    """Make the logged model with its files, or find it, and return its id."""
    from mlflow.entities import LoggedModelOutput

    logged = _find_logged_model(client, facts)
    if logged is None:
        logged = client.create_logged_model(
            facts.experiment_id,
            name=MODEL_ARTIFACT,
            source_run_id=facts.run_id,
            tags={**facts.tags, KEY_TAG: facts.key},
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
        tags={**facts.tags, KEY_TAG: facts.key},
        description=facts.description,
        model_id=model_id,
    )
    return str(created.version)


def _latest(client: "MlflowClient", name: str) -> "ModelVersion | None":
    found = client.search_model_versions(
        f"name = '{name}'", max_results=1, order_by=["version_number DESC"]
    )
    return found[0] if found else None


def _model_id_of(version: "ModelVersion") -> str | None:
    # The SQL registry does not give `model_id` back; the source names it.
    source = str(version.source)
    return source.removeprefix("models:/") if source.startswith("models:/m-") else None


def _not_found(
    client: "MlflowClient",
    server: TrackingServer,
    uri: str,
    parts: Mapping[str, str | None],
    error: Exception | None,
) -> ConfigError | TrackingError:
    if error is not None and not is_refusal(error) and not _is_absence(error):
        return _unanswered(server, error)
    name = parts["name"] or ""
    where = f"{uri} at {server.shown}"
    names = [model.name for model in client.search_registered_models(max_results=1000)]
    if name not in names:
        return ConfigError(
            f"there is no registered model {name!r}",
            where=where,
            mend=did_you_mean(name, names, listed="Registered models")
            if names
            else "None is registered there yet",
        )
    if parts["alias"]:
        aliases = client.get_registered_model(name).aliases
        return ConfigError(
            f"{name} has no alias {parts['alias']!r}",
            where=where,
            mend=did_you_mean(parts["alias"], aliases, listed="Aliases")
            if aliases
            else f"It has none; models:/{name}/latest is its newest version",
        )
    latest = _latest(client, name)
    return ConfigError(
        f"{name} has no version {parts['version'] or 'latest'}",
        where=where,
        mend=f"Its newest is {latest.version}" if latest else "It has none",
    )


def _is_absence(error: Exception) -> bool:
    code: int = getattr(error, "get_http_status_code", lambda: 0)()
    return code == 404


def _persistently(call: Callable[[], T], server: TrackingServer, timeout_s: float) -> T:
    """Return what a repeatable call returns, trying again while the server does not answer."""
    load_mlflow()
    from mlflow.exceptions import MlflowException

    deadline = time.monotonic() + timeout_s
    pause_s = 0.5
    while True:
        try:
            return call()
        except (MlflowException, OSError) as error:
            if is_refusal(error) or time.monotonic() + pause_s > deadline:
                raise _unanswered(server, error) from error
            logger.info("trying again in %.1f s: %s", pause_s, _first_line(error))
        time.sleep(pause_s)
        pause_s = min(pause_s * 2, 10.0)


def _unanswered(server: TrackingServer, error: Exception) -> TrackingError:
    return TrackingError(
        f"the model registry gave no good answer ({_first_line(error)})",
        where=f"{server.origin} = {server.shown}",
        expected="an MLflow registry that answers",
        mend="Try again when the server is back; the model itself is kept in the run's folder",
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
