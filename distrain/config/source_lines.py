"""YAML 1.2 text -> plain values, each with the line it was written on.

ruamel.yaml's pure-Python parser gives the nodes and their lines; scalars are read here by YAML
1.2's core schema alone, so that `NO`, `12:30` and `2024-01-01` stay words.
"""

import io
import re
import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from distrain.config.faults import Fault, KeyPath, Place, dotted
from distrain.config.names import format_named
from distrain.errors import nearest

MAX_BYTES = 16 << 20
MAX_NODES = 100_000  # a few nested anchors can stand for billions of values

_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, bool | float | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((f"{s}{w}" for s in ("", "+") for w in (".inf", ".Inf", ".INF")), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_KEY = re.compile(r"(data|model|train|evaluate|tune|track|cluster)(\.\w+)+")
_CONFIG_ENDINGS = (".yaml", ".yml")
_STANDARD_TAG = "tag:yaml.org,2002:"
_TEXT_TAG = f"{_STANDARD_TAG}str"


@dataclass
class Tree:
    """Plain values with the place of each.

    Attributes:
        values: the top mapping.
        places: path of a value -> where its key, or list item, was written.
        replacing: paths whose value takes the place of an earlier one instead of being merged in.
    """

    values: dict[str, Any] = field(default_factory=dict)
    places: dict[KeyPath, Place] = field(default_factory=dict)
    replacing: set[KeyPath] = field(default_factory=set)

    def place_of(self, *paths: KeyPath) -> Place | None:
        """Return where the first of the paths that was written stands, else its nearest parent."""
        exact = (self.places[path] for path in paths if path in self.places)
        parents = (
            self.places[path[:size]]
            for path in paths
            for size in range(len(path), -1, -1)
            if path[:size] in self.places
        )
        return next(exact, None) or next(parents, None)


def scalar(text: str) -> str | int | float | bool | None:
    """Return what an unquoted word means in YAML 1.2's core schema."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text) and len(text) < 1000:
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
    return float(text) if _FLOAT.fullmatch(text) else text


def read_tree(path: Path, shown: str, rank: int) -> tuple[Tree, list[Fault]]:
    """Return the values of a configuration file with their lines, and what is wrong with it.

    Args:
        path: the file.
        shown: how the user named it.
        rank: its place in the order of files.
    """
    top = Place(shown, 0, path.absolute().parent, rank)
    try:
        with path.open("rb") as file:  # it may be a pipe, whose length nothing tells
            content = file.read(MAX_BYTES + 1)
        if format_named(path.name) not in (None, "json"):  # a configuration may be JSON
            return Tree(), [_no_configuration(shown, top)]
        if len(content) > MAX_BYTES:
            return Tree(), [_no_text(f"has more than {MAX_BYTES:,} bytes", "", top)]
        text = content.decode("utf-8-sig")
    except FileNotFoundError:
        return Tree(), [Fault("no such file", mend=_near_file(path), place=top)]
    except IsADirectoryError:
        return Tree(), [_no_text("is a folder", _files_in(path), top)]
    except OSError as error:
        return Tree(), [_no_text(f"cannot be read: {error.strerror}", "", top)]
    except UnicodeDecodeError as error:
        told = f"is not UTF-8 text: byte {error.object[error.start]:#04x} at {error.start}"
        return Tree(), [_no_text(told, "Save it as UTF-8, or name the right file", top)]
    return _read_text(text, top)


def read_value(text: str, place: Place) -> tuple[Tree, Any, list[Fault]]:
    """Return the value of an override, read as YAML 1.2, with the places inside it and faults.

    What is no YAML is text, such as `*.csv` or `>= 0.85`, unless it opens a bracket or a quote.

    Args:
        text: what stands right of the equals sign.
        place: where it was given.
    """
    if text[:1] in tuple("*&!|>%@`#?"):
        return Tree(), text, []
    try:
        node = _compose(text)
    except YAMLError as error:
        if text.lstrip()[:1] in tuple("[{\"'"):
            return Tree(), None, [replace(_yaml_fault(error, text, place), place=place)]
        return Tree(), text, []
    builder = _Builder(place, with_lines=False)
    value = None if node is None else builder.value(node, ())
    return builder.tree, value, builder.faults


def _read_text(text: str, top: Place) -> tuple[Tree, list[Fault]]:
    try:
        node = _compose(text)
    except YAMLError as error:
        return Tree(), [_yaml_fault(error, text, top)]
    if node is None:
        return Tree(), [Fault("is empty", expected=_SECTIONS, mend=_LEAST, place=top)]
    if not isinstance(node, MappingNode):
        kind = "a list" if isinstance(node, SequenceNode) else "a single value"
        return Tree(), [Fault(f"holds {kind}", expected=_SECTIONS, mend=_LEAST, place=top)]
    builder = _Builder(top)
    builder.tree.values = builder.value(node, ())
    builder.tree.places[()] = top
    return builder.tree, builder.faults


def _no_configuration(shown: str, top: Place) -> Fault:
    return Fault(
        "is data, and no configuration",
        expected="a YAML file, which names the data",
        mend=f"`distrain init --from {shlex.quote(shown)} --target COLUMN` writes one",
        place=top,
    )


_SECTIONS = "a mapping of sections, as in `data:`"
_LEAST = (
    "The least that trains a model is `data: {source: FILE, target: COLUMN}`, which "
    "`distrain init --from FILE --target COLUMN` writes"
)


def _compose(text: str) -> Node | None:
    try:
        node: Node | None = YAML(typ="safe", pure=True).compose(io.StringIO(text))
    except RecursionError:
        raise YAMLError("brackets or mappings are nested too deeply") from None
    return node


class _Builder:
    """Turns nodes into values, noting places and faults on the way."""

    def __init__(self, place: Place, *, with_lines: bool = True) -> None:
        self.tree = Tree()
        self.faults: list[Fault] = []
        self._place = place
        self._with_lines = with_lines
        self._open: list[Node] = []
        self._num_nodes = 0

    def value(self, node: Node, path: KeyPath) -> Any:
        """Return the plain value of a node; faults are added to `faults`."""
        self._num_nodes += 1
        if node in self._open or self._num_nodes > MAX_NODES:
            self._fault(node, path, "is an anchor that holds itself, or far too much")
            return None
        if isinstance(node, ScalarNode):
            return self._scalar(node, path)
        self._open.append(node)
        read = self._mapping if isinstance(node, MappingNode) else self._sequence
        found = read(node, path)
        self._open.pop()
        return found

    def _mapping(self, node: Node, path: KeyPath) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                self._fault(key_node, path, "has a key that is not a word")
                continue
            key = self._text(key_node, path)
            here = (*path, key)
            if key in found:
                first = self.tree.places[here].line
                since = f", first on line {first}" if first else ""
                self._fault(key_node, here, f"is given twice{since}", mend="Keep one of them")
                continue
            self.tree.places[here] = self._at(key_node)
            found[key] = self.value(value_node, here)
        return found

    def _sequence(self, node: Node, path: KeyPath) -> list[Any]:
        found = []
        for index, item in enumerate(node.value):
            self.tree.places[*path, index] = self._at(item)
            found.append(self.value(item, (*path, index)))
        return found

    def _scalar(self, node: ScalarNode, path: KeyPath) -> Any:
        tag = str(node.tag)
        if not tag.startswith(_STANDARD_TAG):
            self._fault(
                node,
                path,
                f"has the tag {tag!r}, which means nothing here",
                mend="Put text that begins with ! in quotes",
            )
        return self._text(node, path) if tag == _TEXT_TAG else scalar(str(node.value))

    def _text(self, node: ScalarNode, path: KeyPath) -> str:
        """Return the text with pairs of escaped surrogates joined, as JSON writes them."""
        text = str(node.value)
        try:
            return text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            self._fault(node, path, "holds half a character (a lone surrogate)")
            return ""

    def _at(self, node: Node) -> Place:
        line = node.start_mark.line + 1 if self._with_lines else 0
        return replace(self._place, line=line)

    def _fault(self, node: Node, path: KeyPath, told: str, mend: str = "") -> None:
        text = f"{dotted(path) or 'the file'} {told}"
        self.faults.append(Fault(text, (path,), mend=mend, place=self._at(node)))


def _yaml_fault(error: YAMLError, text: str, top: Place) -> Fault:
    problem, line, since = str(error), 0, ""
    if isinstance(error, ReaderError):
        problem = f"character U+{error.character:04X} is not allowed"
        line = text.count("\n", 0, error.position) + 1
    elif isinstance(error, MarkedYAMLError):
        problem = (error.problem or str(error)).removeprefix("but ")
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        began = error.context_mark.line + 1 if error.context_mark else line
        since = f" ({error.context} that begins on line {began})" if began < line else ""
    place = replace(top, line=line)
    return Fault(f"not valid YAML: {problem}{since}", mend=_yaml_mend(problem), place=place)


def _yaml_mend(problem: str) -> str:
    if "'\\t'" in problem:
        return "Indent with spaces, not with tabs"
    if "cannot start any token" in problem or "alias" in problem:
        return "A value that begins with one of * & ! % @ ` needs quotes"
    if "mapping values" in problem:
        return "Check the indentation; a value that holds ': ' needs quotes"
    if "another document" in problem:
        return "Give several configurations as several files"
    return "Check brackets, quotes and indentation"


def _no_text(told: str, mend: str, place: Place) -> Fault:
    return Fault(told, expected="a YAML file", mend=mend, place=place)


def _near_file(path: Path) -> str:
    if _KEY.fullmatch(path.name) and path.suffix not in _CONFIG_ENDINGS:
        return f"To set a value, write {path.name}=VALUE, without blanks"
    folder = path.parent
    if not folder.is_dir():
        return f"The folder {str(folder)!r} does not exist either"
    stems = {Path(name).stem: name for name in _configs_in(folder)}
    close = nearest(path.stem, stems)
    return f"Did you mean {str(folder / stems[close])!r}?" if close else _files_in(folder)


def _files_in(folder: Path) -> str:
    configs = _configs_in(folder)
    listed = f"There are: {', '.join(configs[:10])}" if configs else "There is no YAML file"
    return f"{listed} in {str(folder.absolute())!r}"


def _configs_in(folder: Path) -> list[str]:
    files = [entry for entry in folder.iterdir() if entry.is_file()]
    return sorted(entry.name for entry in files if entry.suffix in _CONFIG_ENDINGS)
