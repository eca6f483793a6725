"""Results and errors as the one JSON line that `--json` promises."""

import json
import math
from collections.abc import Mapping
from typing import Any

from distrain.errors import DistrainError


def to_json_line(fields: Mapping[str, Any]) -> str:
    """Return one line of strict JSON; numbers that are not finite become null."""
    return json.dumps(_finite(fields), allow_nan=False, ensure_ascii=False)


def error_fields(error: DistrainError) -> dict[str, Any]:
    """Return the object that a failed command prints under `--json`."""
    return {"status": "error", "exit_code": error.exit_code, "error": error.to_json()}


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
