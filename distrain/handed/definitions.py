"""Classes and functions of a script, a notebook or a prompt, as the text of a module of their own.

Only what they need comes along: imports, other definitions, and plain constants, as these are now.
"""

import __future__

import ast
import importlib
import inspect
import linecache
import pickle
import symtable
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from types import FunctionType, ModuleType
from typing import Any, Final, cast, final

from distrain.errors import ModelError

MAIN: Final = "__main__"
_FUTURE: Final = "from __future__ import annotations"
_FUTURE_FLAG: Final = __future__.annotations.compiler_flag


def is_of_main(value: object) -> bool:
    """Return whether a class or function stands in what was started, and not in a module."""
    return getattr(value, "__module__", None) in (MAIN, "__mp_main__")


@final
class Definitions:
    """Gathers what classes and functions need, in an order in which it can be run."""

    def __init__(self) -> None:
        self._statements: dict[str, str] = {}
        self._at_the_end: dict[str, str] = {}
        self._under_way: set[str] = set()
        self._is_of_future = False
        self._modules: dict[str, None] = {}

    @property
    def text(self) -> str:
        """Return the module's text."""
        head = [_FUTURE] if self._is_of_future else []
        imports = [one for one in self._statements.values() if _is_import(one)]
        others = [one for one in self._statements.values() if not _is_import(one)]
        others += self._at_the_end.values()
        return "\n".join([*head, *imports, "", *(f"\n{one}\n" for one in others)])

    @property
    def modules(self) -> list[str]:
        """Return the top-level names of the modules that it imports."""
        return list(self._modules)

    def add(self, value: Any, where: str) -> str:
        """Take in a class or function, and return its name in the module.

        Args:
            value: from the top of a script, of a notebook's cell, or of what was typed in.
            where: what asks for it, for messages.

        Raises:
            ModelError: its source is not to be had, or needs something that cannot be written down.
        """
        name = str(value.__qualname__)
        if name.isidentifier():
            self._define(name, value, where)
            return name
        why = "is a lambda" if name == "<lambda>" else "is defined within a function"
        if "<" not in name:
            why = "is defined within a class"
        raise _unreachable(value, why, where)

    def add_import(self, module: str) -> None:
        """Take in the import of a module."""
        self._statements.setdefault(f"import {module}", f"import {module}")
        self._modules.setdefault(module.partition(".")[0])

    def _define(self, name: str, value: Any, where: str) -> None:
        if name in self._statements or name in self._under_way:
            return
        self._under_way.add(name)
        place = _place_of(value, where)
        text = _source_of(value, place, where)
        self._is_of_future |= place.is_of_future
        for used in _free_names(text, place.filename):
            if used in place.names:
                self._bind(used, place.names[used], where)
        self._statements[name] = text

    def _bind(self, name: str, value: Any, where: str) -> None:
        if name in self._statements or name in self._at_the_end:
            return
        if isinstance(value, ModuleType):
            self._statements[name] = f"import {value.__name__} as {name}"
            self._modules.setdefault(value.__name__.partition(".")[0])
        elif isinstance(value, type | FunctionType) and is_of_main(value):
            own = self.add(value, where)
            if own != name:
                # Of what is being taken in, the name comes to stand for something at the end.
                into = self._at_the_end if own not in self._statements else self._statements
                into[name] = f"{name} = {own}"
        elif (imported := _import_of(name, value)) is not None:
            self._statements[name] = imported[1]
            self._modules.setdefault(imported[0].partition(".")[0])
        elif _is_plain(value):
            self._statements[name] = f"{name} = {value!r}"
        elif type(value).__module__ == "torch" and type(value).__name__ == "device":
            self._statements.setdefault("torch", "import torch")
            self._statements[name] = f"{name} = torch.{value!r}"
        else:
            raise ModelError(
                f"it uses {name}, a {type(value).__name__} that stands outside of it",
                where=where,
                expected="definitions, imports, and constants such as numbers, text and lists",
                mend=f"Give {name} as an argument, or put both into a module, such as nets.py, "
                "and import that",
            )


def home_of(value: Any, name: str) -> str:
    """Return the name of the module that has something under a name, as pickle finds it."""
    # Public in use, though the stubs do not have it.
    return cast(str, pickle.whichmodule(value, name))  # type: ignore[attr-defined]


def _is_import(statement: str) -> bool:
    return statement.startswith(("import ", "from "))


def _functions_of(kind: type) -> Iterator[FunctionType]:
    for value in vars(kind).values():
        inner = getattr(value, "__func__", None) or getattr(value, "fget", None) or value
        inner = inspect.unwrap(inner) if callable(inner) else inner
        if not isinstance(inner, FunctionType) or inner.__module__ != kind.__module__:
            continue
        if inner.__qualname__.startswith(f"{kind.__qualname__}."):
            yield inner


@final
@dataclass(frozen=True)
class _Place:
    """Where a definition stands: its file, a line of it, and what names stand for there."""

    filename: str
    line: int | None
    names: dict[str, Any]
    is_of_future: bool


def _place_of(value: Any, where: str) -> _Place:
    """Return where a definition stands, as a function of it tells, or the class of that name."""
    name, is_function = str(value.__name__), isinstance(value, FunctionType)
    functions = [inspect.unwrap(value)] if is_function else _functions_of(value)
    for function in functions:
        code, names = function.__code__, function.__globals__
        # What a dataclass, for one, has been given stands nowhere.
        if is_function or linecache.getlines(code.co_filename, names):
            is_of_future = bool(code.co_flags & _FUTURE_FLAG)
            return _Place(code.co_filename, code.co_firstlineno, names, is_of_future)
    names = vars(sys.modules[MAIN])
    if names.get(name) is value:
        for filename in _files_of_main(names):
            if any(_definitions_in(_tree_of(filename, names), name)):
                return _Place(filename, None, names, _is_of_future(filename))
    raise _unreachable(value, "has no method of its own to find its source by", where)


def _is_of_future(filename: str) -> bool:
    return f"{_FUTURE}\n" in linecache.getlines(filename)


def _files_of_main(names: dict[str, Any]) -> Iterator[str]:
    """Yield what was started, and the cells that were run, the newest first."""
    if names.get("__file__"):
        yield str(names["__file__"])
    # Of what is in no file there is no time of change.
    yield from [name for name, entry in linecache.cache.items() if entry[1:2] == (None,)][::-1]


def _source_of(value: Any, place: _Place, where: str) -> str:
    lines = linecache.getlines(place.filename, place.names)
    for node in _definitions_in(_tree_of(place.filename, place.names), value.__name__):
        first = min(node.lineno, *(one.lineno for one in node.decorator_list), node.lineno)
        if place.line is None or first <= place.line <= (node.end_lineno or first):
            return textwrap.dedent("".join(lines[first - 1 : node.end_lineno])).rstrip()
    raise _unreachable(value, f"has no source that can be read ({place.filename})", where)


def _tree_of(filename: str, names: dict[str, Any]) -> ast.Module:
    try:
        return ast.parse("".join(linecache.getlines(filename, names)))
    except SyntaxError:
        return ast.Module([], [])


def _definitions_in(
    tree: ast.Module, name: str
) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    for node in ast.walk(tree):
        wanted = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        if isinstance(node, wanted) and node.name == name:
            yield node


def _free_names(text: str, filename: str) -> list[str]:
    """Return the names that a definition looks up outside of itself, sorted."""

    def below(table: symtable.SymbolTable) -> Iterator[str]:
        is_top = table.get_type() == "module"
        for symbol in table.get_symbols():
            if symbol.is_referenced() and (is_top or symbol.is_global()):
                yield symbol.get_name()
        for inner in table.get_children():
            yield from below(inner)

    found = dict.fromkeys(below(symtable.symtable(text, filename, "exec")))
    return sorted(name for name in found if not name.startswith("__"))


def _import_of(name: str, value: Any) -> tuple[str, str] | None:
    """Return the module that something is imported from, and the statement; None: from none."""
    qualname = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
    tried = [(getattr(value, "__module__", None), qualname)]
    if isinstance(qualname, str) and qualname.isidentifier() and callable(value):
        tried.append((home_of(value, qualname), qualname))
    if not _is_plain(value):
        tried += [
            (module, name)
            for module, there in list(sys.modules.items())
            if getattr(there, "__dict__", {}).get(name) is value
        ]
    for module, own in tried:
        if not (isinstance(module, str) and isinstance(own, str) and own.isidentifier()):
            continue
        if module in (MAIN, "__mp_main__", "builtins") or not _holds(module, own, value):
            continue
        return module, f"from {module} import {own}" + ("" if own == name else f" as {name}")
    return None


def _holds(module: str, name: str, value: Any) -> bool:
    try:
        return getattr(importlib.import_module(module), name, None) is value
    except ImportError:
        return False


def _is_plain(value: Any) -> bool:
    """Return whether a value's own text gives it again."""
    try:
        return bool(ast.literal_eval(repr(value)) == value)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return False


def _unreachable(value: Any, why: str, where: str) -> ModelError:
    return ModelError(
        f"{getattr(value, '__qualname__', value)!s} {why}, so the workers, and a model that is "
        "loaded later, would not find it",
        where=where,
        expected="a class or a function from the top of a script, a notebook's cell or a module",
        mend="Write it with `class` or `def` in a module of its own, such as nets.py, and import "
        "that",
    )
