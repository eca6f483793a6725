"""distrain: from a dataset to a registered PyTorch model on Ray.

The public door. Names are loaded when they are first used, so that importing distrain imports no
ray, torch or mlflow. `train`, `tune`, `evaluate` and `predict` are also the names of packages
and of a module that do it; they can be called (see `door`).
"""

import importlib
from typing import Any

_HOME = {
    "export": "distrain.api",
    "load_config": "distrain.api",
    "promote": "distrain.api",
    "reproduce": "distrain.api",
    "resume": "distrain.api",
    "weights_sha256": "distrain.models.weights",
    "DistrainError": "distrain.errors",
    "ConfigError": "distrain.errors",
    "DataError": "distrain.errors",
    "ModelError": "distrain.errors",
    "TrainError": "distrain.errors",
    "CheckpointError": "distrain.errors",
    "TrackingError": "distrain.errors",
    "ClusterError": "distrain.errors",
}
_CALLABLE_MODULES = ("train", "tune", "evaluate", "predict")

__all__ = sorted([*_HOME, *_CALLABLE_MODULES])


def __getattr__(name: str) -> Any:
    if name in _CALLABLE_MODULES:
        return importlib.import_module(f"distrain.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'distrain' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
