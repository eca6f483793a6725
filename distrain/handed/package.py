"""What is handed over, kept below the storage as modules that can be imported for good.

```
<storage>/given/<digest>/given_<digest>/__init__.py     definitions of a script or a notebook
<storage>/given/<digest>/given_<digest>/instance.json   a module that existed, without its weights
<storage>/given/<digest>/nets.py                        the user's modules that these import
<storage>/given/<sha256>.safetensors                    the weights of that module
<storage>/given/<sha256>.json                           a Dataset that existed, without its arrays
<storage>/given/<sha256>.npy                            bytes of its arrays, tensors and frames
```
"""

import hashlib
import importlib
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, final

import safetensors.torch
import torch
from torch import nn

from distrain.durable import write_atomically
from distrain.errors import ModelError
from distrain.handed.definitions import Definitions, home_of, is_of_main
from distrain.handed.describing import Describer, describe
from distrain.handed.store import Store
from distrain.handed.subject import Subject
from distrain.models.instance import built
from distrain.models.target import load_target
from distrain.models.weights import weights_sha256
from distrain.run_folder import GIVEN
from distrain.track.user_code import file_of, find_user_code, save_user_code

_INSTANCE: Final = "instance.json"
_DIGITS: Final = 12
_INSTALLED: Final = frozenset(("site-packages", "dist-packages"))
_BUILD: Final = '''
from pathlib import Path as _Path

from distrain.models.instance import rebuild as _rebuild


def build():
    """Return the module that was handed over; its weights are given apart."""
    return _rebuild(_Path(__file__).with_name("instance.json"), __name__)
'''
_REMAKE: Final = '''
from distrain.models.instance import remade as _remade


def {name}():
    """Return what was handed over."""
    return _remade("{sha256}", __file__, __name__){called}
'''


@final
class Package:
    """Takes in what is handed over, and keeps it at last; to be used once.

    Args:
        storage: the folder that runs are kept in.

    Attributes:
        import_paths: folders of the user's modules, and once it is kept, of its own.
        name: of its module, once it is kept; empty: there is none.
    """

    def __init__(self, storage: Path) -> None:
        self.import_paths: list[str] = []
        self.name = ""
        self._given = storage / GIVEN
        self._definitions = Definitions()
        self._instance: dict[str, Any] | None = None
        self._stores: dict[str, tuple[str, Store]] = {}
        self._functions: list[str] = []
        self._named: dict[str, None] = {}

    def path_of(self, value: Any, where: str) -> str:
        """Return the import path of a class or function; of a definition here, with a colon first.

        Raises:
            ModelError: it cannot be imported elsewhere.
        """
        if is_of_main(value):
            return f":{self._definitions.add(value, where)}"
        path = _import_path(value, where)
        self._named.setdefault(path)
        return path

    def instance(self, model: nn.Module) -> dict[str, Any]:
        """Take in a module that exists; return the `model` section that builds it again.

        Its weights of this moment are kept at once.

        Raises:
            ModelError: it cannot be written down, or would come back as another.
        """
        name = type(model).__name__
        described = describe(model, self.path_of)
        self._instance = json.loads(json.dumps(described))
        state = {}
        for key, value in model.state_dict().items():
            if not isinstance(value, torch.Tensor):
                raise ModelError(
                    f"its state holds a {type(value).__name__}, {key!r}",
                    where=f"model {name}",
                    expected="tensors only, which can be saved without pickle",
                    mend="Keep other state out of state_dict (get_extra_state)",
                )
            state[key] = value.detach().cpu().contiguous().clone()
        sha256 = weights_sha256(state)
        weights = self._given / f"{sha256}.safetensors"
        if not weights.is_file():
            write_atomically(weights, safetensors.torch.save(state))
        return {"target": ":build", "init_from": {"source": str(weights), "sha256": sha256}}

    def value(self, name: str, value: Any, subject: Subject, *, is_called: bool = False) -> str:
        """Take in an object that exists; return the import path of a function that gives it again.

        Args:
            name: of that function.
            value: the object.
            subject: what it is, for messages.
            is_called: whether it is called by that function, which gives what comes of it.

        Raises:
            DistrainError: it cannot be written down; of the subject's class.
        """
        store = Store()
        describer = Describer(self.path_of, subject, store)
        root = describer.value(value, type(value).__name__)
        text = json.dumps({"root": root, "pack": store.pack(), **describer.tables()})
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        self._stores[sha256] = (text, store)
        called = "()" if is_called else ""
        self._functions.append(_REMAKE.format(name=name, sha256=sha256, called=called))
        return f":{name}"

    def keep(self) -> None:
        """Write all that was taken in."""
        own = {path: code for path in self._named if (code := _user_code(path))}
        sources = sorted({source for code in own.values() for source in code})
        has_objects = self._instance is not None or bool(self._functions)
        if has_objects:
            for path in own:
                self._definitions.add_import(path.partition(":")[0])
        text = self._definitions.text
        if not has_objects and not text.strip():
            self.import_paths += dict.fromkeys(str(source.parent) for source in sources)
            return
        imported = (_user_code(f"{name}:any") for name in self._definitions.modules)
        sources = sorted({*sources, *(code for found in imported for code in found)})
        self._write(text, sources)

    def named(self, section: Any) -> Any:
        """Return an import path, or a section with one, with the name of the module."""
        if isinstance(section, dict):
            return {**section, "target": self.named(section["target"])}
        return f"{self.name}{section}" if section.startswith(":") else section

    def _write(self, text: str, sources: list[Path]) -> None:
        instance = None if self._instance is None else json.dumps(self._instance)
        text += "".join(self._functions)
        self._given.mkdir(parents=True, exist_ok=True)
        for sha256, (described, store) in self._stores.items():
            store.write(self._given)
            if not (self._given / f"{sha256}.json").is_file():
                write_atomically(self._given / f"{sha256}.json", described.encode())
        with tempfile.TemporaryDirectory(prefix=".handed-", dir=self._given) as temporary:
            folder = Path(temporary) / "made"
            folder.mkdir()
            save_user_code(sources, folder)
            digest = _digest(folder, text, instance or "")
            name = f"given_{digest}"
            package = folder / name
            package.mkdir()
            text += _BUILD if instance is not None else ""
            (package / "__init__.py").write_text(text, encoding="utf-8")
            if instance is not None:
                (package / _INSTANCE).write_text(instance, encoding="utf-8")
            place = self._given / digest
            try:
                folder.rename(place)
            except OSError:
                if not place.is_dir():
                    raise
                # It is there already, or another process was first.
        self.import_paths = [str(place), *self.import_paths]
        self.name = name

    @contextmanager
    def importable(self) -> Iterator[None]:
        """Let what was kept be imported in this process, within the block."""
        before = list(sys.path)
        sys.path[:0] = self.import_paths
        importlib.invalidate_caches()
        try:
            yield
        finally:
            sys.path[:] = before

    def check_rebuilt(self, model: nn.Module) -> None:
        """Return where a module that was taken in comes back as it was, once it is kept.

        Args:
            model: the module.

        Raises:
            ModelError: it does not.
        """
        assert self._instance is not None
        with self.importable():
            again = built(self._instance, self.name)
        before = {key: (value.shape, value.dtype) for key, value in model.state_dict().items()}
        after = {key: (value.shape, value.dtype) for key, value in again.state_dict().items()}
        if before != after or repr(again) != repr(model):
            raise ModelError(
                "built again from its class and attributes, it is another",
                where=f"model {type(model).__name__}",
                expected="a module that its class, attributes and tensors tell all of",
                mend="Hand over its class, or a function that makes it, in its place",
            )


def _import_path(value: Any, where: str) -> str:
    """Return the import path of a class or function of a module.

    Raises:
        ModelError: it is not found by it.
    """
    qualname = str(getattr(value, "__qualname__", type(value).__qualname__))
    names = [name for name in (qualname, getattr(value, "__name__", qualname)) if "<" not in name]
    module = getattr(value, "__module__", None)
    homes = [(str(module), name) for name in names] if module else []
    homes += [(home_of(value, name), name) for name in names]
    faults: list[ModelError] = []
    for home, name in dict.fromkeys(homes):
        try:
            if load_target(f"{home}:{name}", where=where) is value:
                return f"{home}:{name}"
        except ModelError as fault:
            faults.append(fault)
    if faults and len(faults) == len(dict.fromkeys(homes)):
        raise faults[-1]
    raise ModelError(
        f"{qualname} is not what {module}:{qualname} names, so the workers, and a model that is "
        "loaded later, would not find it",
        where=where,
        expected="a class or a function from the top of a module, a script or a cell",
        mend="Write it with `class` or `def` in a module of its own, such as nets.py, and import "
        "it",
    )


def _user_code(path: str) -> list[Path]:
    """Return the user's sources that an import path needs; distrain, and what is installed, not."""
    top = path.partition(":")[0].partition(".")[0]
    file = file_of(f"{top}:any")
    # Of other environments, too, that the path of imports may lead to.
    is_installed = file is None or bool(_INSTALLED & set(Path(file).parts))
    return [] if is_installed or top == "distrain" else find_user_code(path)


def _digest(folder: Path, *texts: str) -> str:
    state = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        state.update(f"{path.relative_to(folder).as_posix()}\0".encode() + path.read_bytes())
    for text in texts:
        state.update(b"\0" + text.encode())
    return state.hexdigest()[:_DIGITS]
