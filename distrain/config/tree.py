"""Files and overrides -> one tree of plain values: merged, short forms and names written out.

What comes out has the shape that the settings have, but nothing in it is checked yet.
"""

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from numbers import Integral, Real
from pathlib import Path, PurePath
from typing import Any

from pydantic import BaseModel

from distrain.config.faults import Fault, KeyPath, Place, dotted
from distrain.config.names import BUILT_IN_IMAGES, holds_images
from distrain.config.settings import Settings
from distrain.config.source_lines import Tree, read_value
from distrain.config.tune import DOMAIN_KINDS
from distrain.config.words import given

SECTIONS = ("data", "model", "train", "evaluate", "track", "cluster")
CHOICES: tuple[KeyPath, ...] = (
    ("model",),
    ("train", "loss"),
    ("train", "optimizer"),
    ("train", "lr_schedule"),
    ("tune", "search_alg"),
    ("tune", "scheduler"),
)
"""Sections whose `name`, or `target`, says what they are."""

_SPACE: KeyPath = ("tune", "space")

_CHOOSING = frozenset({"name", "target"})
FILLED_IN = ("mlp", "cnn", "adamw", "constant", "cross_entropy", "huber")
"""The names that `fill_names` can write; the others have to be given."""

_LOSS_KEYS = {
    "class_weights": "cross_entropy",
    "label_smoothing": "cross_entropy",
    "delta": "huber",
}


def tree_of(values: Mapping[str, Any] | Settings) -> tuple[Tree, list[Fault]]:
    """Return the tree of what was made in Python; relative paths are the working directory's.

    Args:
        values: as a configuration file would hold them; settings objects and paths may stand in it.
    """
    faults: list[Fault] = []
    plain = _plain(values, (), faults)
    if not isinstance(plain, dict):
        faults.append(Fault(f"the configuration is {given(plain)}", expected="a mapping"))
        plain = {}
    return Tree(plain, {(): Place("", 0, Path.cwd())}), faults


def tree_of_override(text: str, rank: int) -> tuple[Tree, list[Fault]]:
    """Return the tree of one `section.key=value`, and what is wrong with it.

    Args:
        text: the override.
        rank: its place in the order of files and overrides.
    """
    place = Place("command line", 0, Path.cwd(), rank)
    key, equals, value = text.partition("=")
    path: KeyPath = tuple(key.strip().split("."))
    if not equals or not all(path):
        told = f"{given(text)} is no override"
        expected = "section.key=value, such as train.epochs=5"
        return Tree(), [Fault(told, expected=expected, place=place)]
    path = _with_space_key(path)
    inner, read, faults = read_value(value.strip(), place)
    if faults:
        fault = faults[0]
        told = f"{dotted(path)}: {fault.message}"
        return Tree(), [Fault(told, (path,), mend=fault.mend, place=place)]
    places: dict[KeyPath, Place] = {path[:size]: place for size in range(1, len(path) + 1)}
    places |= {(*path, *below): place for below in inner.places}
    for name in reversed(path):
        read = {name: read}
    return Tree(read, places), []


def merge(trees: Sequence[Tree]) -> Tree:
    """Return one tree: the later value wins, mappings are merged, lists replaced."""
    merged = Tree()
    for tree in trees:
        _write_out(tree)
        _merge_into(merged, tree, merged.values, tree.values, ())
        if () in tree.places:
            merged.places.setdefault((), tree.places[()])
    return merged


def fill_names(values: dict[str, Any]) -> None:
    """Write the names that may be left out: of the model, the loss, the optimizer, the schedule."""
    for section in SECTIONS:
        if values.get(section) is None:
            values[section] = {}
    model, train = values["model"], values["train"]
    if isinstance(model, dict) and not _CHOOSING & model.keys():  # else no folder is looked into
        _fill_name(values, "model", _model_name(values["data"]))
    if isinstance(train, dict):
        _fill_name(train, "optimizer", "adamw")
        _fill_name(train, "lr_schedule", "constant")
        if isinstance(train.get("loss"), dict):
            named = {_LOSS_KEYS.get(key) for key in train["loss"]}
            _fill_name(train, "loss", named.pop() if len(named) == 1 else None)


def run_name(stem: str) -> str:
    """Return the name of a run that its file's stem stands for, in the allowed characters."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:100] or "run"


def _with_space_key(path: KeyPath) -> KeyPath:
    """Return a path into `tune.space` with the dotted key there, which is one key, in one piece."""
    if path[:2] != _SPACE or len(path) == len(_SPACE):
        return path
    key, below = path[2:], path[-1:]
    if len(key) > 1 and below[0] in (*DOMAIN_KINDS, "when"):
        return (*_SPACE, ".".join(map(str, key[:-1])), *below)
    return (*_SPACE, ".".join(map(str, key)))


def _fill_name(section: dict[str, Any], key: str, name: str | None) -> None:
    chosen = section.get(key)
    if name and isinstance(chosen, dict) and not _CHOOSING & chosen.keys():
        section[key] = {"name": name, **chosen}


def _model_name(data: Any) -> str:
    if not isinstance(data, dict):
        return "mlp"
    source = data.get("source")
    format_ = data.get("format")
    is_image = isinstance(source, dict) or source in BUILT_IN_IMAGES
    if is_image or format_ is not None:
        return "cnn" if is_image or format_ in ("idx", "images") else "mlp"
    names = source if isinstance(source, list) and source else [source]
    are_images = all(isinstance(name, str) and holds_images(name) for name in names)
    return "cnn" if are_images else "mlp"


def _write_out(tree: Tree) -> None:
    """Write short forms out: a word for {name: word}, and for the key of others it stands for."""
    for path in CHOICES:
        _write_word_out(tree, path, "name")
    _write_word_out(tree, ("tune", "start_from"), "search")
    _write_word_out(tree, ("model", "init_from"), "source")
    data = tree.values.get("data")
    features = data.get("features") if isinstance(data, dict) else None
    if isinstance(features, dict):
        for column in features:
            _write_word_out(tree, ("data", "features", column), "kind")


def _write_word_out(tree: Tree, path: KeyPath, key: str) -> None:
    parent: Any = tree.values
    for name in path[:-1]:
        parent = parent.get(name) if isinstance(parent, dict) else None
    word = parent.get(path[-1]) if isinstance(parent, dict) else None
    if not isinstance(word, str):
        return
    if key == "name" and ":" in word:
        key = "target"
    parent[path[-1]] = {key: word}
    tree.replacing.add(path)
    if path in tree.places:
        tree.places[*path, key] = tree.places[path]


def _merge_into(
    merged: Tree, later: Tree, into: dict[str, Any], values: dict[str, Any], path: KeyPath
) -> None:
    for key, value in values.items():
        here = (*path, key)
        if _is_merged(into.get(key), value, here) and here not in later.replacing:
            _move_places(merged, later, here, deep=False)
            _merge_into(merged, later, into[key], value, here)
        else:
            _move_places(merged, later, here, deep=True)
            into[key] = deepcopy(value)


def _is_merged(earlier: Any, value: Any, path: KeyPath) -> bool:
    if not (isinstance(earlier, dict) and isinstance(value, dict)):
        return False
    is_other = ("target" in earlier and "name" in value) or (
        "name" in earlier and "target" in value
    )
    is_parameter = path[:-1] == _SPACE  # another domain takes the place of the earlier one
    return not is_parameter and not (path in CHOICES and is_other)


def _move_places(merged: Tree, later: Tree, path: KeyPath, *, deep: bool) -> None:
    if not deep:
        if path in later.places:
            merged.places.setdefault(path, later.places[path])
        return
    size = len(path)
    for old in [old for old in merged.places if old[:size] == path]:
        del merged.places[old]
    merged.places |= {new: at for new, at in later.places.items() if new[:size] == path}


def _plain(value: Any, path: KeyPath, faults: list[Fault]) -> Any:
    if isinstance(value, BaseModel):
        return _plain(value.model_dump(by_alias=True, exclude_unset=True), path, faults)
    if isinstance(value, Mapping):
        return {
            _key(key): _plain(inner, (*path, _key(key)), faults) for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [_plain(inner, (*path, index), faults) for index, inner in enumerate(value)]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str | PurePath):
        return str(value)
    if isinstance(value, Real):  # numpy's scalars among them
        return int(value) if isinstance(value, Integral) else float(value)
    told = f"{dotted(path) or 'the configuration'} is of type {type(value).__name__}"
    expected = "what a file can hold: text, a number, a boolean, a list or a mapping"
    faults.append(Fault(told, (path,), expected=expected))
    return None


def _key(key: object) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)
