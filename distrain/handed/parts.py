"""What an object is made of, as it tells `copy` and pickle by `__reduce_ex__`."""

import copyreg
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, final

_PROTOCOL: Final = 4
_COPYREG: Final[Any] = copyreg  # its stubs leave out what makes a new object


@final
@dataclass(frozen=True)
class Parts:
    """What an object is made of.

    Attributes:
        kind: its class, or another that is called to make it.
        args: what that is called with.
        is_new: whether it is the class's `__new__` that is called.
        kwargs: of `__new__`.
        state: its attributes, or what its `__setstate__` takes; None: nothing.
        items: what is appended to it.
        pairs: what is put into it by key.
    """

    kind: type
    args: Sequence[Any] = ()
    is_new: bool = False
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    state: Any = None
    items: Sequence[Any] = ()
    pairs: Mapping[Any, Any] = field(default_factory=dict)


def parts_of(value: Any) -> Parts | None:
    """Return what an object is made of; None: it cannot tell, or not by a class alone."""
    try:
        reduced = value.__reduce_ex__(_PROTOCOL)
    except Exception:  # an object's own code may raise anything: it is refused in words by name
        return None
    if not isinstance(reduced, tuple):
        return None
    make, args, state, items, pairs = (*reduced, None, None, None)[:5]
    kwargs: Mapping[str, Any] = {}
    is_new = True
    if make is _COPYREG.__newobj__:
        kind, *args = args
    elif make is _COPYREG.__newobj_ex__:
        kind, args, kwargs = args
    else:
        kind, is_new = make, False
    if not isinstance(kind, type):
        return None
    return Parts(kind, args, is_new, kwargs, state, list(items or ()), dict(pairs or ()))
