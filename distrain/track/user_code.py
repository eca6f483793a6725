"""The user's own Python sources: found by import path, saved beside a model, loaded from there.

A model's class is loaded from the sources that were saved with it, even where a module of the same
name can be imported: the user goes on writing, and the weights fit the code they were trained with.
Nothing is pickled. Standard library only.
"""

import ast
import hashlib
import importlib
import importlib.util
import shutil
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from distrain.errors import ModelError
from distrain.track.source_files import source_files

_digests_seen: dict[str, str] = {}  # of sources by name, when `forget_changed_code` last looked


def find_user_code(target: str | None) -> list[Path]:
    """Return the sources that an import path needs: modules and packages in the user's folders.

    Modules in the same folder that these import are found too. What is installed (site-packages,
    the standard library) is left out: it is a requirement, not the user's code.

    Args:
        target: `package.module:Name`; None: nothing.

    Returns:
        Files and package folders that lie side by side, sorted by name.
    """
    if target is None:
        return []
    first = _source_of(target.partition(":")[0].partition(".")[0])
    if first is None or _is_installed(first):
        return []
    found = {first.stem: first}
    waiting = [first]
    while waiting:
        for name in _imported_names(waiting.pop()):
            sibling = _in_folder(first.parent, name)
            if sibling is not None and name not in found:
                found[name] = sibling
                waiting.append(sibling)
    return [found[name] for name in sorted(found)]


def is_found(module: str) -> bool:
    """Return whether a module of this name can be found, without importing anything.

    Args:
        module: a top-level name.
    """
    return _spec_of(module) is not None


def file_of(target: str) -> str | None:
    """Return the file, or the package's folder, that an import path is read from.

    Args:
        target: `package.module:Name`.

    Returns:
        Its path; None: it cannot be found, or is a part of Python itself.
    """
    module = target.partition(":")[0]
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    if spec is None or not (spec.has_location or spec.submodule_search_locations):
        return None
    return spec.origin or next(iter(spec.submodule_search_locations or ()), None)


def forget_changed_code(targets: Iterable[str]) -> None:
    """Let the next import take the user's sources as they are now.

    A process that trains twice, such as a notebook, may have imported a module of the same name
    from another folder, or before it was edited; workers are new processes and would not have.

    Args:
        targets: import paths `package.module:Name`.
    """
    importlib.invalidate_caches()
    sources: list[Path] = []
    with suppress(ModelError):  # of a file that is no Python: its import tells more
        sources = [source for target in targets for source in find_user_code(target)]
    digests = {source.stem: _tree_digest(source) for source in sources}
    is_changed = any(
        _digests_seen.get(source.stem, digests[source.stem]) != digests[source.stem]
        or not _is_same(sys.modules[source.stem], source)
        for source in sources
        if source.stem in sys.modules
    )
    # All or none, as below.
    for name in [name for name in sys.modules if is_changed and _below(name, list(digests))]:
        del sys.modules[name]
    _digests_seen.update(digests)


def save_user_code(sources: Sequence[Path], folder: Path) -> list[str]:
    """Copy sources, with all files of a package, into a folder and return their names there.

    Args:
        sources: files and package folders, as `find_user_code` gives them.
        folder: made where something goes into it.
    """
    for source in sources:
        for name, path in source_files(source):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / name)
    return [source.name for source in sources]


@contextmanager
def saved_code_importable(folder: Path, names: Sequence[str]) -> Iterator[None]:
    """Let imports within the `with` block find the saved sources first.

    Modules of these names that were imported before from other sources are put back afterwards;
    where the sources are the same they are used as they are.

    Args:
        folder: where `save_user_code` put them.
        names: what it returned.
    """
    if not names:  # else a file beside a model could stand in for any library
        yield
        return
    tops = [Path(name).stem for name in names]
    is_foreign = any(
        top in sys.modules and not _is_same(sys.modules[top], folder / name)
        for top, name in zip(tops, names, strict=True)
    )
    # All or none: a module that is the same may have bound names of one that is not.
    foreign = tops if is_foreign else []
    set_aside = {name: sys.modules.pop(name) for name in list(sys.modules) if _below(name, foreign)}
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if _below(name, foreign)]:
            del sys.modules[name]
        sys.modules.update(set_aside)


def imported_modules(sources: Iterable[Path]) -> set[str]:
    """Return the top-level names of all modules that sources import absolutely.

    Args:
        sources: files and package folders.

    Raises:
        ModelError: one of them is no Python.
    """
    return {name for source in sources for name in _imported_names(source)}


def _spec_of(module: str) -> ModuleSpec | None:
    # importlib.util.find_spec would tell where a module that is imported already was found then.
    specs = (finder.find_spec(module, None) for finder in sys.meta_path)
    return next((spec for spec in specs if spec is not None), None)


def _source_of(module: str) -> Path | None:
    spec = _spec_of(module)
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None


def _is_installed(path: Path) -> bool:
    folders = {sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib", "platstdlib")}
    return any(path.resolve().is_relative_to(Path(folder).resolve()) for folder in folders)


def _in_folder(folder: Path, module: str) -> Path | None:
    inner = folder / module
    if (inner / "__init__.py").is_file():
        return inner
    if (folder / f"{module}.py").is_file():
        return folder / f"{module}.py"
    # A folder without __init__.py gives way to whatever else has its name.
    is_package = any(inner.rglob("*.py")) and _source_of(module) == inner
    return inner if is_package else None


def _imported_names(source: Path) -> set[str]:
    """Return the top-level names that a module or package imports absolutely."""
    names: set[str] = set()
    for _, path in _python_files(source):
        try:
            tree = ast.parse(path.read_bytes(), filename=str(path))
        except SyntaxError as error:
            raise ModelError(f"{error.msg}", where=f"{path}:{error.lineno}") from error
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names.update(alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.partition(".")[0])
    return names


def _is_same(module: ModuleType, saved: Path) -> bool:
    locations = getattr(module, "__path__", None)
    origin = next(iter(locations), None) if locations else getattr(module, "__file__", None)
    return origin is not None and _tree_digest(Path(origin)) == _tree_digest(saved)


def _tree_digest(source: Path) -> str:
    state = hashlib.sha256()
    for name, path in _python_files(source):
        state.update(name.encode() + b"\0")
        state.update(path.read_bytes() + b"\0" if path.is_file() else b"")
    return state.hexdigest()


def _python_files(source: Path) -> Iterator[tuple[str, Path]]:
    return ((name, path) for name, path in source_files(source) if path.suffix == ".py")


def _below(name: str, tops: Sequence[str]) -> bool:
    return name.partition(".")[0] in tops
