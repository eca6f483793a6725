from pathlib import Path
from typing import Any

import pytest

from distrain.errors import TrackingError
from distrain.track import registry
from distrain.track.registry import ModelFacts, register_model
from distrain.track.tracking_server import TrackingServer

SERVER = TrackingServer("http://127.0.0.1:9", None, "track.uri")
FACTS = ModelFacts("adult", "adult/r1", "run0", "1")


class UploadFailedError(Exception):
    """As boto3's, which is of no family that MLflow or the system knows."""


def test_what_the_artifact_store_raises_is_the_registrys_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def connect(server: TrackingServer) -> Any:
        raise UploadFailedError("ExpiredToken")

    monkeypatch.setattr(registry, "connect", connect)
    with pytest.raises(TrackingError, match="ExpiredToken"):
        register_model(SERVER, Path("model"), FACTS, timeout_s=0)
