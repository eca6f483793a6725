"""Relative paths in the configuration -> absolute ones, as soon as it is known who wrote them.

Below `data:` and `model.init_from` they are relative to the file that names them; `storage`,
`cluster.working_dir` and whatever the command line gives, to the working directory. URIs and
built-in names stay as they are.
"""

import os.path
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from distrain.config.environment import expand_env
from distrain.config.faults import KeyPath
from distrain.config.names import BUILT_IN_PREFIX, DATASETS, is_uri
from distrain.config.source_lines import Tree
from distrain.errors import ConfigError

WEIGHT_ENDINGS: Final = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".pkl", ".h5", ".npz")
_MAX_NAME_BYTES: Final = 255
_NAMES: Final = f"names of at most {_MAX_NAME_BYTES} bytes, as file systems take them"
_SHOWN: Final = 60
_BESIDE: Final = ("./", "../")


def make_absolute(tree: Tree) -> None:
    """Make every path in the tree absolute, in place.

    Args:
        tree: merged values with their places; what is no text where a path should be is left.
    """

    def below_file(text: str, path: KeyPath) -> str:
        place = tree.place_of(path)
        return str(_absolute(text, place.folder if place else Path.cwd()))

    tree.values["storage"] = _absolute(tree.values.get("storage", "./runs"), Path.cwd())
    cluster = tree.values.get("cluster")
    if isinstance(cluster, dict) and "working_dir" in cluster:
        cluster["working_dir"] = _absolute(cluster["working_dir"], Path.cwd())
    _make_weights_absolute(tree.values.get("model"), below_file)
    data = tree.values.get("data")
    if not isinstance(data, dict):
        return
    for key in ("source", "test_source"):
        if key in data:
            data[key] = _each_text(data[key], ("data", key), below_file)
    for key in DATASETS:
        _make_args_absolute(data.get(key), ("data", key), below_file)
    _make_cache_absolute(data.get("cache"), below_file)


def _make_cache_absolute(cache: Any, change: Callable[[str, KeyPath], str]) -> None:
    for key in ("path", "local_path"):
        if isinstance(cache, dict) and key in cache:
            cache[key] = _each_text(cache[key], ("data", "cache", key), change)


def _make_args_absolute(dataset: Any, path: KeyPath, change: Callable[[str, KeyPath], str]) -> None:
    """Make those arguments of a Dataset absolute that say that they are paths beside the file."""
    parts = ("args", "evaluation_args") if isinstance(dataset, dict) else ()
    for part in parts:
        args: Any = dataset.get(part)
        if not isinstance(args, dict):
            continue
        for name, value in args.items():
            if isinstance(value, str) and value.startswith(_BESIDE):
                args[name] = change(value, (*path, part, name))


def _make_weights_absolute(model: Any, change: Callable[[str, KeyPath], str]) -> None:
    """Make the path of weights to begin with absolute; a model's URI, or a run's name, is none."""
    weights = model.get("init_from") if isinstance(model, dict) else None
    source = weights.get("source") if isinstance(weights, dict) else None
    if isinstance(weights, dict) and isinstance(source, str) and not source.startswith("models:"):
        path = change(source, ("model", "init_from", "source"))
        is_file = Path(source).suffix.lower() in WEIGHT_ENDINGS
        weights["source"] = path if is_file or Path(path).exists() else source


def _each_text(value: Any, path: KeyPath, change: Callable[[str, KeyPath], str]) -> Any:
    if isinstance(value, str):
        return change(value, path)
    if isinstance(value, list):
        return [_each_text(item, (*path, index), change) for index, item in enumerate(value)]
    if isinstance(value, dict) and isinstance(value.get("idx"), dict):
        files = {
            key: _each_text(at, (*path, "idx", key), change) for key, at in value["idx"].items()
        }
        return {**value, "idx": files}
    return value


def _absolute(text: Any, folder: Path) -> Any:
    if not isinstance(text, str) or not text:
        return text
    try:
        expanded = expand_env(text)
    except ConfigError:
        return text  # told with its line by `environment.text_faults`
    if is_uri(expanded) or expanded.startswith(BUILT_IN_PREFIX):
        return text
    if "${" in text:
        return text if Path(expanded).is_absolute() else f"{folder}/{text}"
    _check_names(text)
    try:
        return os.path.normpath(folder / Path(text).expanduser())
    except RuntimeError as fault:
        raise _no_path(
            text, "there is no user of that name", "a path, or ~/ for your own"
        ) from fault


def _check_names(text: str) -> None:
    if "\0" in text:
        raise _no_path(text, "it holds the character U+0000")
    longest = max((len(os.fsencode(part)) for part in Path(text).parts), default=0)
    if longest > _MAX_NAME_BYTES:
        raise _no_path(text, f"a name in it has {longest:,} bytes")


def _no_path(text: str, why: str, expected: str = _NAMES) -> ConfigError:
    return ConfigError(
        f"there can be no such path: {why}",
        where=ascii(text[:_SHOWN]),
        expected=expected,
        mend="Name another path",
    )
