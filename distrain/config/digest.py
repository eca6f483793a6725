"""Settings -> plain values, the resolved file kept with a run, and the configuration's digest."""

import hashlib
import io
import json
import re
from collections.abc import Sequence
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.representer import SafeRepresenter

from distrain.config.data import without_later_defaults
from distrain.config.environment import masked
from distrain.config.faults import KeyPath
from distrain.config.settings import Settings
from distrain.config.source_lines import scalar

_PLAIN = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./@+-]*")
_YAML_1_1_WORDS = ("yes", "no", "on", "off", "y", "n")

NOT_IN_DIGEST: tuple[KeyPath, ...] = (
    ("name",),
    ("storage",),
    ("data", "source"),
    ("data", "test_source"),
    ("data", "cache"),
    ("data", "loader_workers"),
    ("train", "num_workers"),
    ("train", "resources_per_worker"),
    ("train", "checkpoint"),
    ("train", "activation_checkpointing"),
    ("train", "profile"),
    ("train", "max_time_s"),
    ("train", "max_failures"),
    ("train", "ledger"),
    ("evaluate", "goals"),
    ("tune",),
    ("track",),
    ("cluster",),
)
"""What changes neither the bits of a result nor the numbers recorded of it, and where data lies."""

_LATER_KEYS = (
    ("train", "changes"),
    ("train", "step"),
    ("train", "freeze"),
    ("train", "lr_by_name"),
    ("model", "init_from"),
    ("data", "dataset"),
    ("data", "validation_dataset"),
    ("data", "test_dataset"),
    ("data", "collate"),
    ("data", "num_classes"),
)

LENGTH: tuple[KeyPath, ...] = (("train", "epochs"), ("train", "steps"))
"""How long a run trains."""


def resolved_dict(settings: Settings) -> dict[str, Any]:
    """Return the settings as plain mappings, lists, text and numbers, keys as a file has them.

    Variables are not filled in. For what is written or sent somewhere use `masked_dict`.
    """
    plain: dict[str, Any] = _lists(settings.model_dump(by_alias=True))
    return plain


def masked_dict(settings: Settings) -> dict[str, Any]:
    """Return `resolved_dict` with the likely secrets of `cluster.env` masked."""
    values = resolved_dict(settings)
    values["cluster"]["env"] = masked(values["cluster"]["env"])
    return values


def dump_yaml(settings: Settings) -> str:
    """Return the text of a run's `config.yaml`; loading it gives equal settings.

    Likely secrets of `cluster.env` are masked, and only they come back changed.
    """
    yaml = YAML(typ="safe", pure=True)
    yaml.Representer = _Representer
    yaml.default_flow_style = False
    yaml.allow_unicode = True
    yaml.width = 1_000_000  # no folding
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # typed as None
    text = io.StringIO()
    yaml.dump(masked_dict(settings), text)
    return text.getvalue()


def config_digest(settings: Settings) -> str:
    """Return the SHA-256, 64 hex digits, of everything that the result depends on beside the data.

    In it are the seed, the recipe for the data (how it is read, cleaned, split, encoded, and what
    is predicted), the model, training and the metrics. `threads_per_worker` is one of them: it
    changes bits.

    Left out are the paths of the data, so that two checkouts have one digest (a prepared dataset's
    own digest is over the content), and where the weights lie that training begins with; and
    workers, resources, cluster, checkpoints, activation checkpointing, profile, the time limit,
    failures survived, ledger, tracking, storage, cache, name, goals and the search, which change no
    bit.
    """
    return _digest_without(settings, NOT_IN_DIGEST)


def steps_digest(settings: Settings) -> str:
    """Return the SHA-256, 64 hex digits, of everything that a step of a run depends on.

    It is `config_digest`, but for the length of the run where the learning rate does not depend on
    it: such a run can be made longer, and all of its checkpoints hold for the longer one.
    """
    is_free = has_schedule_of_any_length(settings)
    return _digest_without(settings, (*NOT_IN_DIGEST, *(LENGTH if is_free else ())))


def has_schedule_of_any_length(settings: Settings) -> bool:
    """Return whether the learning rate of a step does not depend on the number of steps."""
    return getattr(settings.train.lr_schedule, "name", "") in ("constant", "step")


def _digest_without(settings: Settings, paths: Sequence[KeyPath]) -> str:
    rest = resolved_dict(settings)
    for path in paths:
        parent = rest
        for key in path[:-1]:
            parent = parent[str(key)]
        del parent[str(path[-1])]
    for section, key in _LATER_KEYS:  # as in digests from before there was the key
        if rest[section][key] is None:
            del rest[section][key]
    if isinstance(rest["train"]["loss"], dict) and rest["train"]["loss"].get("args") == {}:
        del rest["train"]["loss"]["args"]
    if "init_from" in rest["model"]:  # the weights are what counts, not where they lie
        del rest["model"]["init_from"]["source"]
    rest["data"] = without_later_defaults(rest["data"])
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


class _Representer(SafeRepresenter):
    """Writes text so that every reader of YAML, 1.1 too, reads the same text back."""

    def represent_str(self, data: str) -> ScalarNode:
        """Return a plain word where it cannot be mistaken for anything else, else quoted text."""
        is_word = _PLAIN.fullmatch(data) and scalar(data) == data
        style = None if is_word and data.lower() not in _YAML_1_1_WORDS else '"'
        node: ScalarNode = self.represent_scalar("tag:yaml.org,2002:str", data, style=style)
        return node


_Representer.add_representer(str, _Representer.represent_str)


def _lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _lists(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_lists(inner) for inner in value]
    return value
