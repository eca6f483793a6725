"""A module, a Dataset, and the objects that these hold, as JSON that `models/instance.py` reads.

It is what a pickle would hold, without anything that runs but named classes: every object's class
by import path, its attributes, and of tensors and arrays where their bytes are. What several hold
is one object again when it is read.
"""

import functools
import math
import re
import types
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, Final, final

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import is_lazy

from distrain.errors import first_line
from distrain.handed.frames import Frame, is_of_pandas
from distrain.handed.parts import parts_of
from distrain.handed.store import Store, bytes_of
from distrain.handed.subject import MODEL, Subject, named

PathOf = Callable[[Any, str], str]
_OWN: Final = ("_parameters", "_buffers", "_modules", "_non_persistent_buffers_set", "training")
_MADE_ANEW: Final = ("_flat_weights", "_flat_weight_refs")
"""What a recurrent module keeps of its own parameters, weak references among it."""
_AS_THEY_ARE: Final = (bool, int, str, type(None))
_SHORT_BYTES: Final = 256


def describe(model: nn.Module, path_of: PathOf) -> dict[str, Any]:
    """Return a module as plain values that JSON can carry, its state as shapes alone.

    Args:
        model: the module.
        path_of: as a `Describer` takes it.

    Raises:
        ModelError: it holds something that cannot be written down; where it stands is told.
    """
    describer = Describer(path_of, MODEL)
    describer.module(model, type(model).__name__)
    return describer.tables()


@final
class Describer:
    """Describes objects that hold one another.

    Args:
        path_of: the import path of a class or function, given it and where it stands; that of one
            in the module that reads begins with a colon.
        subject: what is described.
        store: takes the bytes of tensors and arrays; None: of a module's state there are the shapes
            alone, other tensors stand in the description, and arrays are refused.
    """

    def __init__(self, path_of: PathOf, subject: Subject, store: Store | None = None) -> None:
        self.modules: list[dict[str, Any]] = []
        self.tensors: list[dict[str, Any]] = []
        self.arrays: list[dict[str, Any]] = []
        self.objects: list[dict[str, Any]] = []
        self._path_of = path_of
        self._subject = subject
        self._store = store
        self._seen: dict[int, int] = {}
        self._kept: list[Any] = []  # an id is one object's for as long as that is there

    def tables(self) -> dict[str, Any]:
        """Return what was described; values refer to it by number."""
        tables = {"modules": self.modules, "tensors": self.tensors}
        return tables | {"arrays": self.arrays, "objects": self.objects}

    def value(self, value: Any, where: str) -> Any:
        """Return a value as JSON can carry it.

        Args:
            value: anything.
            where: the attributes that lead to it.

        Raises:
            DistrainError: it cannot be written down; of the subject's class.
        """
        if type(value) in _AS_THEY_ARE:
            return value
        plain = _PLAIN.get(type(value))
        if plain is not None:
            return plain(value)
        for kinds, describe in _DESCRIBED:
            if isinstance(value, kinds):
                return describe(self, value, where)
        if is_of_pandas(value):
            return self._frame(value, where)
        if callable(value) and hasattr(value, "__qualname__"):
            return {"import": self._path_of(value, self._told(where))}
        return self._object(value, where)

    def module(self, module: nn.Module, where: str) -> int:
        """Take in a module, and return its place in `modules`; as `value` otherwise."""
        if id(module) in self._seen:
            return self._seen[id(module)]
        entry: dict[str, Any] = {"class": self._path_of(type(module), self._told(where))}
        index = self._remember(module, self.modules, entry)
        entry["training"] = module.training
        for key, tensors in (("parameters", module._parameters), ("buffers", module._buffers)):
            entry[key] = {
                name: None if one is None else self._tensor(one, f"{where}.{name}")
                for name, one in tensors.items()
            }
        entry["unsaved"] = sorted(module._non_persistent_buffers_set)
        entry["modules"] = {
            name: None if inner is None else self.module(inner, f"{where}.{name}")
            for name, inner in module._modules.items()
        }
        entry["attributes"] = self._attributes(module, where)
        for name in entry["unsaved"]:
            buffer = module._buffers[name]
            if buffer is not None:
                self._keep_values(entry["buffers"][name], buffer)
        return index

    def _attributes(self, module: nn.Module, where: str) -> dict[str, Any]:
        found = {}
        for name, value in vars(module).items():
            at = f"{where}.{name}"
            if name in _OWN or (isinstance(module, nn.RNNBase) and name in _MADE_ANEW):
                continue
            if name not in _usual():
                found[name] = self.value(value, at)
            elif value != _usual()[name]:
                raise self._subject.refusal(
                    at, "a hook, or something else that runs", "Take it off"
                )
        return found

    def _module(self, module: nn.Module, where: str) -> Any:
        return {"module": self.module(module, where)}

    def _held_tensor(self, tensor: torch.Tensor, where: str) -> Any:
        is_known = id(tensor) in self._seen
        index = self._tensor(tensor, where)
        if not is_known:
            self._keep_values(index, tensor)
        return {"tensor": index}

    def _tensor(self, tensor: torch.Tensor, where: str) -> int:
        if is_lazy(tensor):
            what = "a parameter without a shape yet"
            raise self._subject.refusal(where, what, "Run the module once first")
        if id(tensor) in self._seen:
            return self._seen[id(tensor)]
        entry: dict[str, Any] = {
            "shape": list(tensor.shape),
            "dtype": str(tensor.dtype).removeprefix("torch."),
            "is_parameter": isinstance(tensor, nn.Parameter),
            "requires_grad": tensor.requires_grad,
        }
        if self._store is not None:
            self._check_plain(tensor, where)
            entry["bytes"] = self._store.put(bytes_of(tensor))
        return self._remember(tensor, self.tensors, entry)

    def _check_plain(self, tensor: torch.Tensor, where: str) -> None:
        if tensor.device.type != "cpu":
            what = f"a tensor on {tensor.device}"
            raise self._subject.refusal(
                where, what, "Move it by .cpu(); batches are moved to the device"
            )
        is_plain = tensor.layout == torch.strided and not tensor.is_quantized
        if type(tensor) not in (torch.Tensor, nn.Parameter) or not is_plain:
            what = f"a {named(tensor)} of layout {tensor.layout}"
            raise self._subject.refusal(where, what, "Make a plain, dense tensor of it")

    def _keep_values(self, index: int, tensor: torch.Tensor) -> None:
        if self._store is None:
            # A float's repr has all of its bits; narrower types are exact in it.
            self.tensors[index]["values"] = tensor.detach().cpu().flatten().tolist()

    def _array(self, array: np.ndarray[Any, Any], where: str) -> Any:
        if id(array) in self._seen:
            return {"array": self._seen[id(array)]}
        if self._store is None or type(array) not in (np.ndarray, np.memmap):
            raise self._subject.unwritable(where, array)
        entry = self._store.array(array)
        if entry is None:
            what = f"an array of type {array.dtype}"
            raise self._subject.refusal(where, what, "Make one of numbers or text of it")
        index = self._remember(array, self.arrays, entry)
        if array.dtype.hasobject:
            entry["items"] = self._items(array.ravel().tolist(), where)
        return {"array": index}

    def _number(self, number: np.generic, where: str) -> Any:
        item = number.item()
        if type(item) not in (bool, int, float, complex, str):
            raise self._subject.unwritable(where, number)
        descr = repr(np.lib.format.dtype_to_descr(number.dtype))
        return {"number": [descr, self.value(item, where)]}

    def _frame(self, frame: Any, where: str) -> Any:
        if id(frame) in self._seen:
            return {"object": self._seen[id(frame)]}
        if self._store is None:
            raise self._subject.unwritable(where, frame)
        entry: dict[str, Any] = {}
        index = self._remember(frame, self.objects, entry)
        try:
            table = Frame.of(frame)
        except (ValueError, TypeError) as fault:
            what = f"a {named(frame)} that Arrow cannot hold ({first_line(fault)})"
            raise self._subject.refusal(
                where, what, "Convert it, e.g. by df[column].astype(str)"
            ) from fault
        entry["frame"] = {
            "kind": table.kind,
            "bytes": self._store.put(table.stream),
            "objects": {
                str(place): self._items(items, f"{where}[{name!r}]")
                for place, (name, items) in table.objects.items()
            },
            "labels": self.value(table.labels, where),
        }
        return {"object": index}

    def _tuple(self, value: tuple[Any, ...], where: str) -> Any:
        if type(value) not in (tuple, torch.Size):  # a namedtuple
            return self._object(value, where)
        kind = "tuple" if type(value) is tuple else "size"
        return {kind: self._items(value, where)}

    def _container(self, value: Any, where: str) -> Any:
        kinds: dict[Any, str] = {list: "list", set: "set", dict: "dict", OrderedDict: "ordered"}
        kind = kinds.get(type(value))
        if kind is None:
            return self._object(value, where)
        if id(value) in self._seen:
            return {"object": self._seen[id(value)]}
        entry: dict[str, Any] = {}
        index = self._remember(value, self.objects, entry)
        is_mapping = kind in ("dict", "ordered")
        # The order of a set is another in each process, and the description's name is its content.
        items = sorted(value, key=repr) if kind == "set" else value
        entry[kind] = self._pairs(value, where) if is_mapping else self._items(items, where)
        return {"object": index}

    def _items(self, items: Iterable[Any], where: str) -> list[Any]:
        found = list(items)
        if all(type(item) in _AS_THEY_ARE for item in found):  # millions of paths or numbers
            return found
        return [self.value(item, f"{where}[{place}]") for place, item in enumerate(found)]

    def _pairs(self, pairs: Mapping[Any, Any], where: str) -> list[list[Any]]:
        return [
            [self.value(key, where), self.value(item, f"{where}[{key!r}]")]
            for key, item in pairs.items()
        ]

    def _bytes(self, value: bytes, where: str) -> Any:
        if len(value) <= _SHORT_BYTES:
            return {"hex": value.hex()}
        if self._store is None:
            raise self._subject.unwritable(where, value)
        return {"bytes": self._store.put(np.frombuffer(value, dtype=np.uint8))}

    def _pattern(self, pattern: "re.Pattern[Any]", where: str) -> Any:
        return {"pattern": [self.value(pattern.pattern, where), pattern.flags]}

    def _method(self, method: types.MethodType, where: str) -> Any:
        return {"method": [self.value(method.__self__, where), method.__name__]}

    def _partial(self, value: Any, where: str) -> Any:
        if type(value) is not functools.partial:
            return self._object(value, where)
        named = {"dict": self._pairs(value.keywords, where)}
        return {"partial": [self.value(value.func, where), self._tuple(value.args, where), named]}

    def _object(self, value: Any, where: str) -> Any:
        if id(value) in self._seen:
            return {"object": self._seen[id(value)]}
        parts = parts_of(value)
        if parts is None:
            raise self._subject.unwritable(where, value)
        self._kept.append(parts)
        entry: dict[str, Any] = {"class": self._path_of(parts.kind, self._told(where))}
        index = self._remember(value, self.objects, entry)
        entry |= {
            "is_new": parts.is_new,
            "args": self._items(parts.args, where),
            "kwargs": {name: self.value(one, where) for name, one in parts.kwargs.items()},
            "state": self._state(parts.state, where),
            "items": self._items(parts.items, where),
            "pairs": self._pairs(parts.pairs, where),
        }
        return {"object": index}

    def _state(self, state: Any, where: str) -> Any:
        if isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], dict):
            return {"tuple": [self._state(part, where) for part in state]}
        if type(state) is not dict or not all(type(name) is str for name in state):
            return self.value(state, where)
        return {"dict": [[name, self.value(v, f"{where}.{name}")] for name, v in state.items()]}

    def _remember(self, one: Any, into: list[dict[str, Any]], entry: dict[str, Any]) -> int:
        self._kept.append(one)
        self._seen[id(one)] = len(into)
        into.append(entry)
        return len(into) - 1

    def _told(self, where: str) -> str:
        return f"{self._subject.word} {where}"


@cache
def _usual() -> dict[str, Any]:
    return dict(vars(nn.Module()))


def _float(value: float) -> Any:
    return value if math.isfinite(value) else {"float": str(value)}


_PLAIN: Final[Mapping[type, Callable[[Any], Any]]] = {
    float: _float,
    complex: lambda value: {"complex": [str(value.real), str(value.imag)]},
    torch.dtype: lambda value: {"dtype": str(value).removeprefix("torch.")},
    torch.device: lambda value: {"device": str(value)},
}
_DESCRIBED: Final[tuple[tuple[Any, Callable[[Describer, Any, str], Any]], ...]] = (
    (nn.Module, Describer._module),
    (torch.Tensor, Describer._held_tensor),
    (np.ndarray, Describer._array),
    (np.generic, Describer._number),
    (tuple, Describer._tuple),
    ((list, set, dict), Describer._container),
    (bytes, Describer._bytes),
    (re.Pattern, Describer._pattern),
    (types.MethodType, Describer._method),
    (functools.partial, Describer._partial),
)
