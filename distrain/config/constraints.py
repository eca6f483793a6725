"""Constraints of a search: a line such as `train.global_batch_size >= 64` -> true or false.

A small part of Python's expressions and nothing else: dotted keys of the configuration, numbers,
text, lists, true, false and null, comparisons, `in`, `and`, `or`, `not`, and + - * / // % between
numbers. Nothing is called, imported or looked up but the trial's own plain values. Beside such a
line may stand the import path of a function, which is told apart here and called elsewhere.
"""

import ast
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from distrain.config.base import IMPORT_PATTERN
from distrain.errors import ConfigError

Values = Mapping[str, Any] | BaseModel

MAX_CHARACTERS = 1000
MAX_DEPTH = 40
_SINGLE_EQUALS = re.compile(r"[^=<>!]=[^=]")
_WORDS: Mapping[str, Any] = {"true": True, "false": False, "null": None}
_EXPECTED = (
    "keys such as train.global_batch_size, numbers, quoted text, lists, comparisons, in, and, or, "
    "not, + - * / // %"
)
_ARITHMETIC: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_COMPARED: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda one, many: one in many,
    ast.NotIn: lambda one, many: one not in many,
}


class _AbsentError(Exception):
    """The trial has no such key: it belongs to another name than the one chosen."""


@dataclass(frozen=True)
class Constraint:
    """One line that has to hold of a trial.

    Attributes:
        text: as it was written.
        paths: the dotted keys that it speaks of, in the order of their coming.
    """

    text: str
    paths: tuple[str, ...]
    _body: ast.expr

    def holds(self, values: Values) -> bool:
        """Return whether a trial may be so.

        It holds, too, where it comes to speak of a key that the trial does not have, such as
        model.kernel_size of an mlp: there is nothing to keep apart. What cannot be worked out,
        such as null > 1 or a division by zero, does not hold.

        Args:
            values: the trial's resolved settings, or the same as plain mappings and lists.
        """
        try:
            return bool(_value(self._body, values))
        except _AbsentError:
            return True
        except (TypeError, ArithmeticError):
            return False


def is_own(text: str) -> bool:
    """Return whether a constraint names a function of the user's own: package.module:function."""
    return re.fullmatch(IMPORT_PATTERN, text) is not None


def read_constraint(text: str) -> Constraint:
    """Return the constraint that a line states.

    Raises:
        ConfigError: it cannot be read, or holds more than constraints may.
    """
    if len(text) > MAX_CHARACTERS:
        raise ConfigError(
            f"a constraint of {len(text)} characters",
            expected=f"at most {MAX_CHARACTERS}",
            mend="Write it as several, all of which have to hold",
        )
    try:
        body = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        told = getattr(error, "msg", None) or "too deeply nested"
        mend = "Write == to compare" if _SINGLE_EQUALS.search(text) else ""
        mend = mend or ("A function of your own is package.module:function" if ":" in text else "")
        raise ConfigError(
            f"{text!r} cannot be read: {told}", expected=_EXPECTED, mend=mend
        ) from error
    _refuse_foreign(body, text, 0)
    return Constraint(text, tuple(dict.fromkeys(_paths(body))), body)


def _refuse_foreign(node: ast.expr, text: str, depth: int) -> None:
    """Raise ConfigError where an expression holds anything that constraints may not."""
    if depth > MAX_DEPTH:
        raise ConfigError(f"{text!r} is too deeply nested", mend="Write it as several")
    if not _is_allowed(node):
        what = ast.unparse(node)
        raise ConfigError(f"{what!r} cannot stand in a constraint", expected=_EXPECTED)
    if _path_of(node) is None:
        for inner in ast.iter_child_nodes(node):
            if isinstance(inner, ast.expr):
                _refuse_foreign(inner, text, depth + 1)


def _is_allowed(node: ast.expr) -> bool:
    if isinstance(node, ast.Constant):
        return node.value is None or type(node.value) in (bool, int, float, str)
    if isinstance(node, ast.BinOp):
        return type(node.op) in _ARITHMETIC
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.Not | ast.USub | ast.UAdd)
    if isinstance(node, ast.Compare):
        return all(type(op) in _COMPARED for op in node.ops)
    return isinstance(node, ast.BoolOp | ast.List | ast.Tuple) or _path_of(node) is not None


def _path_of(node: ast.expr) -> str | None:
    """Return the dotted key that a node is, None where it is none."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = _path_of(node.value)
        return None if before is None else f"{before}.{node.attr}"
    return None


def _paths(node: ast.expr) -> Iterator[str]:
    path = _path_of(node)
    if path is not None:
        if path not in _WORDS:
            yield path
        return
    for inner in ast.iter_child_nodes(node):
        if isinstance(inner, ast.expr):
            yield from _paths(inner)


def _value(node: ast.expr, values: Values) -> Any:
    path = _path_of(node)
    if path is not None:
        return _looked_up(path, values)
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.List | ast.Tuple):
        return [_value(item, values) for item in node.elts]
    if isinstance(node, ast.BoolOp):
        decided = any if isinstance(node.op, ast.Or) else all
        return decided(bool(_value(inner, values)) for inner in node.values)
    if isinstance(node, ast.UnaryOp):
        return _unary(node, values)
    if isinstance(node, ast.BinOp):
        left, right = (_number(_value(side, values)) for side in (node.left, node.right))
        return _ARITHMETIC[type(node.op)](left, right)
    assert isinstance(node, ast.Compare)
    return _compare(node, values)


def _looked_up(path: str, values: Values) -> Any:
    if path in _WORDS:
        return _WORDS[path]
    found: Any = values
    for key in path.split("."):
        if isinstance(found, Mapping) and key in found:
            found = found[key]
        elif isinstance(found, BaseModel) and key in type(found).model_fields:
            found = getattr(found, key)
        else:
            raise _AbsentError
    return [*found] if isinstance(found, tuple) else found


def _unary(node: ast.UnaryOp, values: Values) -> Any:
    value = _value(node.operand, values)
    if isinstance(node.op, ast.Not):
        return not value
    return -_number(value) if isinstance(node.op, ast.USub) else _number(value)


def _compare(node: ast.Compare, values: Values) -> bool:
    left = _value(node.left, values)
    for op, right_node in zip(node.ops, node.comparators, strict=True):
        right = _value(right_node, values)
        if not _COMPARED[type(op)](left, right):
            return False
        left = right
    return True


def _number(value: Any) -> float:
    """Return a number as it is; text and lists would grow without end when multiplied."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number")
    return value
