"""Model versions: found by URI and brought here; a wrong name is told with the nearest ones."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final

from distrain.errors import ConfigError, TrackingError, did_you_mean, first_line
from distrain.track.patient import patient
from distrain.track.sending import is_refusal
from distrain.track.tracking_server import TrackingServer, connect, load_mlflow

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

_MODEL_URI = re.compile(r"^models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>[^/@]+))?$")


@final
@dataclass(frozen=True)
class RegisteredVersion:
    """A version in the registry.

    Attributes:
        name: registered-model name.
        version: its number, as text.
        alias: the alias that was moved to it, or that it was found by; None: none.
    """

    name: str
    version: str
    alias: str | None

    @property
    def uri(self) -> str:
        """The shortest URI that names this version: by alias where it has one."""
        return f"models:/{self.name}" + (f"@{self.alias}" if self.alias else f"/{self.version}")


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
            mend="`distrain runs` lists what was trained and registered",
        )
    if server.database is not None and not server.database.is_file():
        raise ConfigError(
            "nothing is recorded there, and no model registered",
            where=f"{uri} at {server.shown}",
            expected="the tracking store of earlier runs",
            mend="Name the storage folder that `distrain train` used",
        )
    client = patient(connect(server))
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
    return RegisteredVersion(name, str(chosen.version), alias)


def download_model(server: TrackingServer, version: RegisteredVersion, folder: Path) -> Path:
    """Copy a version's files into a folder and return the MLflow model's folder there.

    Raises:
        TrackingError: the files cannot be had.
    """
    load_mlflow()
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    client = patient(connect(server))
    try:
        source = client.get_model_version_download_uri(version.name, version.version)
        if source.startswith("models:/m-"):
            source = client.get_logged_model(source.removeprefix("models:/")).artifact_location
        return Path(
            download_artifacts(artifact_uri=source, dst_path=str(folder), tracking_uri=server.uri)
        )
    except (MlflowException, OSError) as error:
        raise TrackingError(
            f"the model's files cannot be read ({first_line(error)})",
            where=version.uri,
            expected="a model that is still stored",
            mend="Was its folder moved or removed?",
        ) from error


def unanswered(server: TrackingServer, error: Exception) -> TrackingError:
    """Return the error that tells a registry's failure."""
    return TrackingError(
        f"the model registry gave no good answer ({first_line(error)})",
        where=f"{server.origin} = {server.shown}",
        expected="an MLflow registry that answers",
        mend="Try again when the server is back; the model itself is kept in the run's folder",
    )


def _latest(client: "MlflowClient", name: str) -> "ModelVersion | None":
    found = client.search_model_versions(
        f"name = '{name}'", max_results=1, order_by=["version_number DESC"]
    )
    return found[0] if found else None


def _not_found(
    client: "MlflowClient",
    server: TrackingServer,
    uri: str,
    parts: Mapping[str, str | None],
    error: Exception | None,
) -> ConfigError | TrackingError:
    if error is not None and not is_refusal(error) and not _is_absence(error):
        return unanswered(server, error)
    name = parts["name"] or ""
    where = f"{uri} at {server.shown}"
    names = [model.name for model in client.search_registered_models(max_results=1000)]
    if name not in names:
        return ConfigError(
            f"there is no registered model {name!r}",
            where=where,
            expected="the name of a registered model",
            mend=did_you_mean(name, names, listed="Registered models")
            if names
            else "None is registered there yet",
        )
    if parts["alias"]:
        aliases = client.get_registered_model(name).aliases
        return ConfigError(
            f"{name} has no alias {parts['alias']!r}",
            where=where,
            expected="an alias that was given to one of its versions",
            mend=did_you_mean(parts["alias"], aliases, listed="Aliases")
            if aliases
            else f"It has none; models:/{name}/latest is its newest version",
        )
    latest = _latest(client, name)
    return ConfigError(
        f"{name} has no version {parts['version'] or 'latest'}",
        where=where,
        expected="the number of one of its versions",
        mend=f"Its newest is {latest.version}" if latest else "It has none: train it first",
    )


def _is_absence(error: Exception) -> bool:
    code: int = getattr(error, "get_http_status_code", lambda: 0)()
    return code == 404
