"""Results and errors as strict JSON: what `--json` prints and `result.json` holds."""

import json
import math
from collections.abc import Mapping
from typing import Any

from distrain.errors import DistrainError


def to_json_line(fields: Mapping[str, Any]) -> str:
    """Return one line of strict JSON; numbers that are not finite become null."""
    return json.dumps(finite(fields), allow_nan=False, ensure_ascii=False)


def error_fields(error: DistrainError) -> dict[str, Any]:
    """Return the object that a failed command prints under `--json`."""
    return {"status": "error", "exit_code": error.exit_code, "error": error.to_json()}


def finite(value: Any) -> Any:
    """Return plain values with null for every number that JSON cannot hold."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value
