"""A module that exists, as plain JSON: its class and attributes, from which it is built again.

It is what a pickle would hold, without anything that runs but the import of named classes: every
module's class by import path, its attributes, and the shapes of its tensors. The values of its
state are not in it: they are weights that training begins with.
"""

import importlib
import json
import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, final

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from distrain.errors import ModelError
from distrain.models.target import load_target

PathOf = Callable[[Any, str], str]
_OWN: Final = ("_parameters", "_buffers", "_modules", "_non_persistent_buffers_set", "training")
_MADE_ANEW: Final = ("_flat_weights", "_flat_weight_refs")
"""What a recurrent module keeps of its own parameters, weak references among it."""


def describe(model: nn.Module, path_of: PathOf) -> dict[str, Any]:
    """Return a module as plain values that JSON can carry.

    Args:
        model: the module.
        path_of: the import path of a class or function, given it and where it stands; that of one
            in the module that `rebuild` is told begins with a colon.

    Raises:
        ModelError: it holds something that cannot be written down; where it stands is told.
    """
    described = _Describer(path_of)
    described.module(model, type(model).__name__)
    return {"modules": described.modules, "tensors": described.tensors}


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
    """Return the module that `describe` described; as `rebuild` otherwise."""
    return _Builder(described, here).module(0)


@cache
def _usual() -> dict[str, Any]:
    return dict(vars(nn.Module()))


@final
class _Describer:
    def __init__(self, path_of: PathOf) -> None:
        self.modules: list[dict[str, Any]] = []
        self.tensors: list[dict[str, Any]] = []
        self._path_of = path_of
        self._seen: dict[int, int] = {}
        self._kept: list[Any] = []  # an id is one object's for as long as that is there

    def module(self, module: nn.Module, where: str) -> int:
        if id(module) in self._seen:
            return self._seen[id(module)]
        entry: dict[str, Any] = {"class": self._path_of(type(module), where)}
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
                self.tensors[entry["buffers"][name]]["values"] = _values(buffer)
        return index

    def _attributes(self, module: nn.Module, where: str) -> dict[str, Any]:
        found = {}
        for name, value in vars(module).items():
            at = f"{where}.{name}"
            if name in _OWN or (isinstance(module, nn.RNNBase) and name in _MADE_ANEW):
                continue
            if name not in _usual():
                found[name] = self._value(value, at)
            elif value != _usual()[name]:
                raise _unwritable(at, "a hook, or something else that runs", "Take it off")
        return found

    def _tensor(self, tensor: torch.Tensor, where: str) -> int:
        if is_lazy(tensor):
            raise _unwritable(where, "a parameter without a shape yet", "Run the module once first")
        if id(tensor) in self._seen:
            return self._seen[id(tensor)]
        entry = {
            "shape": list(tensor.shape),
            "dtype": str(tensor.dtype).removeprefix("torch."),
            "is_parameter": isinstance(tensor, nn.Parameter),
            "requires_grad": tensor.requires_grad,
        }
        return self._remember(tensor, self.tensors, entry)

    def _remember(self, one: Any, into: list[dict[str, Any]], entry: dict[str, Any]) -> int:
        self._kept.append(one)
        self._seen[id(one)] = len(into)
        into.append(entry)
        return len(into) - 1

    def _value(self, value: Any, where: str) -> Any:
        if value is None or isinstance(value, bool | int | str):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else {"float": str(value)}
        if isinstance(value, nn.Module):
            return {"module": self.module(value, where)}
        if isinstance(value, torch.Tensor):
            is_known = id(value) in self._seen
            index = self._tensor(value, where)
            if not is_known:
                self.tensors[index]["values"] = _values(value)
            return {"tensor": index}
        if isinstance(value, torch.dtype | torch.device):
            return {type(value).__name__: str(value).removeprefix("torch.")}
        return self._container(value, where)

    def _container(self, value: Any, where: str) -> Any:
        kinds: dict[type, str] = {torch.Size: "size", tuple: "tuple", list: "list", set: "set"}
        if type(value) in kinds:
            items = [self._value(item, f"{where}[{i}]") for i, item in enumerate(value)]
            return {kinds[type(value)]: items}
        if type(value) in (dict, OrderedDict):
            pairs = [
                [self._value(key, where), self._value(item, f"{where}[{key!r}]")]
                for key, item in value.items()
            ]
            return {"dict" if type(value) is dict else "ordered": pairs}
        if callable(value) and hasattr(value, "__qualname__"):
            return {"import": self._path_of(value, where)}
        kind = f"{type(value).__module__}.{type(value).__qualname__}"
        raise _unwritable(
            where, f"a {kind}", "Keep numbers, text, lists, tensors and modules alone"
        )


@final
class _Builder:
    def __init__(self, described: Mapping[str, Any], here: str) -> None:
        self._described = described["modules"]
        self._here = here
        self._modules: dict[int, nn.Module] = {}
        self._tensors = [_made(entry) for entry in described["tensors"]]

    def module(self, index: int) -> nn.Module:
        if index in self._modules:
            return self._modules[index]
        entry = self._described[index]
        kind = self._imported(entry["class"])
        made: nn.Module = kind.__new__(kind)
        self._modules[index] = made
        nn.Module.__init__(made)
        own = vars(made)
        own["training"] = entry["training"]
        own["_non_persistent_buffers_set"] = set(entry["unsaved"])
        for key in ("parameters", "buffers"):
            own[f"_{key}"].update(
                {n: None if i is None else self._tensors[i] for n, i in entry[key].items()}
            )
        own["_modules"].update(
            {n: None if i is None else self.module(i) for n, i in entry["modules"].items()}
        )
        own.update({name: self._value(value) for name, value in entry["attributes"].items()})
        if isinstance(made, nn.RNNBase):
            made._init_flat_weights()
        return made

    def _value(self, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        ((kind, inner),) = value.items()
        return _READERS[kind](self, inner)

    def _items(self, items: list[Any]) -> list[Any]:
        return [self._value(item) for item in items]

    def _pairs(self, pairs: list[list[Any]]) -> list[tuple[Any, Any]]:
        return [(self._value(key), self._value(item)) for key, item in pairs]

    def _imported(self, path: str) -> Any:
        if not path.startswith(":"):
            return load_target(path, where="model.target")
        found: Any = importlib.import_module(self._here)
        for part in path[1:].split("."):
            found = getattr(found, part)
        return found


_READERS: Final[Mapping[str, Callable[[_Builder, Any], Any]]] = {
    "float": lambda _, text: float(text),
    "module": lambda builder, index: builder.module(index),
    "tensor": lambda builder, index: builder._tensors[index],
    "dtype": lambda _, name: getattr(torch, name),
    "device": lambda _, name: torch.device(name),
    "size": lambda builder, items: torch.Size(builder._items(items)),
    "tuple": lambda builder, items: tuple(builder._items(items)),
    "list": lambda builder, items: builder._items(items),
    "set": lambda builder, items: set(builder._items(items)),
    "dict": lambda builder, pairs: dict(builder._pairs(pairs)),
    "ordered": lambda builder, pairs: OrderedDict(builder._pairs(pairs)),
    "import": lambda builder, path: builder._imported(path),
}


def _made(entry: Mapping[str, Any]) -> torch.Tensor:
    dtype = getattr(torch, entry["dtype"])
    if "values" in entry:
        made = torch.tensor(entry["values"], dtype=dtype).reshape(entry["shape"])
    else:
        made = torch.zeros(entry["shape"], dtype=dtype)
    if entry["is_parameter"]:
        return nn.Parameter(made, requires_grad=entry["requires_grad"])
    return made.requires_grad_(entry["requires_grad"])


def _values(tensor: torch.Tensor) -> list[Any]:
    # A float's repr has all of its bits; narrower types are exact in it.
    values: list[Any] = tensor.detach().cpu().flatten().tolist()
    return values


def _unwritable(where: str, what: str, mend: str) -> ModelError:
    return ModelError(
        f"it holds {what}, which cannot be written down for the workers",
        where=f"model {where}",
        expected="a module that is made of its class, plain attributes and tensors",
        mend=f"{mend}; or hand over the class, or a function that makes the module, in its place",
    )
