"""What existed when it was handed over, built again: a module, a Dataset, the objects they hold.

`handed/describing.py` writes it as plain JSON: it is what a pickle would hold, but named classes
alone are imported and called. Of a module the values of its state are not in it: they are weights
that training begins with. Of a Dataset tensors, arrays and frames are in files (`kept.py`).
"""

import functools
import importlib
import json
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, final

import numpy as np
import torch
from torch import nn

from distrain.models.kept import Kept, array_of, dtype_of, frame_of, tensor_of
from distrain.models.target import load_target


def rebuild(path: Path, here: str) -> nn.Module:
    """Return the module that was described in a file, its tensors zero.

    Args:
        path: the file.
        here: name of the module whose classes have import paths that begin with a colon.

    Raises:
        ModelError: a class of it cannot be imported.
    """
    described = json.loads(path.read_text(encoding="utf-8"))
    return built(described, here)


def built(described: Mapping[str, Any], here: str) -> nn.Module:
    """Return the module that was described; as `rebuild` otherwise."""
    return _Builder(described, here).module(0)


def remade(sha256: str, file: str, here: str) -> Any:
    """Return what was handed over, with all that it holds, as it was.

    Args:
        sha256: the name of its description.
        file: the file that asks for it, somewhere below the storage that it is kept in.
        here: as for `rebuild`.

    Raises:
        DataError: its description, or an array of it, is not there.
        ModelError: a class of it cannot be imported.
    """
    kept = Kept.above(Path(file), sha256)
    described = kept.description(sha256)
    return _Builder(described, here, kept).value(described["root"])


@final
class _Builder:
    def __init__(self, described: Mapping[str, Any], here: str, kept: Kept | None = None) -> None:
        self._described = described
        self._here = here
        self._kept = kept
        self._modules: dict[int, nn.Module] = {}
        self._objects: dict[int, Any] = {}
        self._arrays: dict[int, Any] = {}
        self._tensors: dict[int, torch.Tensor] = {}

    def module(self, index: int) -> nn.Module:
        if index in self._modules:
            return self._modules[index]
        entry = self._described["modules"][index]
        kind = self._imported(entry["class"])
        made: nn.Module = kind.__new__(kind)
        self._modules[index] = made
        nn.Module.__init__(made)
        own = vars(made)
        own["training"] = entry["training"]
        own["_non_persistent_buffers_set"] = set(entry["unsaved"])
        for key in ("parameters", "buffers"):
            own[f"_{key}"].update(
                {n: None if i is None else self._tensor(i) for n, i in entry[key].items()}
            )
        own["_modules"].update(
            {n: None if i is None else self.module(i) for n, i in entry["modules"].items()}
        )
        own.update({name: self.value(value) for name, value in entry["attributes"].items()})
        if isinstance(made, nn.RNNBase):
            made._init_flat_weights()
        return made

    def value(self, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        ((kind, inner),) = value.items()
        return _READERS[kind](self, inner)

    def _tensor(self, index: int) -> torch.Tensor:
        if index not in self._tensors:
            entry = self._described["tensors"][index]
            if "bytes" in entry:
                values = tensor_of(entry, self._bytes(entry["bytes"]))
            elif "values" in entry:
                dtype = getattr(torch, entry["dtype"])
                values = torch.tensor(entry["values"], dtype=dtype).reshape(entry["shape"])
            else:
                values = torch.zeros(entry["shape"], dtype=getattr(torch, entry["dtype"]))
            needs_grad = entry["requires_grad"]
            self._tensors[index] = (
                nn.Parameter(values, requires_grad=needs_grad)
                if entry["is_parameter"]
                else values.requires_grad_(needs_grad)
            )
        return self._tensors[index]

    def _array(self, index: int) -> Any:
        if index not in self._arrays:
            entry = self._described["arrays"][index]
            self._arrays[index] = array_of(
                entry,
                lambda: self._bytes(entry["bytes"]),
                lambda: self._items(entry["items"]),
            )
        return self._arrays[index]

    def _frame(self, entry: Mapping[str, Any]) -> Any:
        """Return a frame, series or index; it is an entry of `objects`, which keeps it."""
        columns = {int(place): self._items(items) for place, items in entry["objects"].items()}
        labels = self.value(entry["labels"])
        return frame_of(entry["kind"], self._bytes(entry["bytes"]), columns, labels)

    def _bytes(self, place: list[Any]) -> np.ndarray[Any, np.dtype[np.uint8]]:
        assert self._kept is not None
        return self._kept.bytes_at(place)

    def _object(self, index: int) -> Any:
        if index not in self._objects:
            entry = self._described["objects"][index]
            kind = next(iter(entry))
            _MAKERS[kind](self, index, entry)
        return self._objects[index]

    def _make_list(self, index: int, entry: Mapping[str, Any]) -> None:
        made: list[Any] = []
        self._objects[index] = made
        made.extend(self._items(entry["list"]))

    def _make_set(self, index: int, entry: Mapping[str, Any]) -> None:
        made: set[Any] = set()
        self._objects[index] = made
        made.update(self._items(entry["set"]))

    def _make_dict(self, index: int, entry: Mapping[str, Any]) -> None:
        ((kind, pairs),) = entry.items()
        made: dict[Any, Any] = {} if kind == "dict" else OrderedDict()
        self._objects[index] = made
        made.update(self._pairs(pairs))

    def _make_frame(self, index: int, entry: Mapping[str, Any]) -> None:
        self._objects[index] = self._frame(entry["frame"])

    def _make_instance(self, index: int, entry: Mapping[str, Any]) -> None:
        """Make an object of a class as its own `__reduce_ex__` has told that it is made."""
        kind, args = self._imported(entry["class"]), self._items(entry["args"])
        named = {name: self.value(value) for name, value in entry["kwargs"].items()}
        made = kind.__new__(kind, *args, **named) if entry["is_new"] else kind(*args)
        self._objects[index] = made
        if entry["state"] is not None:
            _set_state(made, self.value(entry["state"]))
        for item in self._items(entry["items"]):
            made.append(item)
        for key, value in self._pairs(entry["pairs"]):
            made[key] = value

    def _items(self, items: list[Any]) -> list[Any]:
        return [self.value(item) for item in items]

    def _pairs(self, pairs: list[list[Any]]) -> list[tuple[Any, Any]]:
        return [(self.value(key), self.value(item)) for key, item in pairs]

    def _partial(self, parts: list[Any]) -> Any:
        function, args, named = (self.value(part) for part in parts)
        return functools.partial(function, *args, **named)

    def _imported(self, path: str) -> Any:
        if not path.startswith(":"):
            return load_target(path, where="what was handed over")
        found: Any = importlib.import_module(self._here)
        for part in path[1:].split("."):
            found = getattr(found, part)
        return found


def _set_state(made: Any, state: Any) -> None:
    """Give an object the state that it had, as `copy` and pickle do."""
    if hasattr(made, "__setstate__"):
        made.__setstate__(state)
        return
    slots: Mapping[str, Any] = {}
    if isinstance(state, tuple):
        state, slots = state
    vars(made).update(state) if state else None
    for name, value in (slots or {}).items():
        object.__setattr__(made, name, value)


_MAKERS: Final[Mapping[str, Callable[[_Builder, int, Mapping[str, Any]], None]]] = {
    "list": _Builder._make_list,
    "set": _Builder._make_set,
    "dict": _Builder._make_dict,
    "ordered": _Builder._make_dict,
    "frame": _Builder._make_frame,
    "class": _Builder._make_instance,
}
"""What makes an entry of `objects`, which others may hold, too; told by its first key."""

_READERS: Final[Mapping[str, Callable[[_Builder, Any], Any]]] = {
    "float": lambda _, text: float(text),
    "complex": lambda _, parts: complex(*map(float, parts)),
    "hex": lambda _, text: bytes.fromhex(text),
    "bytes": lambda builder, place: builder._bytes(place).tobytes(),
    "number": lambda builder, parts: dtype_of(parts[0]).type(builder.value(parts[1])),
    "module": lambda builder, index: builder.module(index),
    "tensor": lambda builder, index: builder._tensor(index),
    "array": lambda builder, index: builder._array(index),
    "object": lambda builder, index: builder._object(index),
    "dtype": lambda _, name: getattr(torch, name),
    "device": lambda _, name: torch.device(name),
    "pattern": lambda builder, parts: re.compile(builder.value(parts[0]), parts[1]),
    "method": lambda builder, parts: getattr(builder.value(parts[0]), parts[1]),
    "partial": lambda builder, parts: builder._partial(parts),
    "size": lambda builder, items: torch.Size(builder._items(items)),
    "tuple": lambda builder, items: tuple(builder._items(items)),
    "list": lambda builder, items: builder._items(items),
    "set": lambda builder, items: set(builder._items(items)),
    "dict": lambda builder, pairs: dict(builder._pairs(pairs)),
    "ordered": lambda builder, pairs: OrderedDict(builder._pairs(pairs)),
    "import": lambda builder, path: builder._imported(path),
}
"""What reads a value that JSON has no form for; of containers, those that nothing else holds."""
