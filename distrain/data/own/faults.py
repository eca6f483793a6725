"""What the user's Dataset has raised, told with the row and with the line of the user's code."""

import sysconfig
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from distrain.errors import DataError, first_line

_SHOWN_ROWS: Final = 4
_OURS: Final = str(Path(__file__).parent)
_STANDARD: Final = (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"))
_PACKAGES: Final = ("site-packages", "dist-packages")


def not_read(number: int, fault: Exception, name: str) -> DataError:
    """Return the error of a row that could not be read.

    Args:
        number: of the row in the Dataset.
        fault: what `__getitem__` has raised.
        name: what the Dataset is called in messages.
    """
    return DataError(
        f"__getitem__({number}) raised {type(fault).__name__}: {first_line(fault)}{_at(fault)}",
        where=f"{name}, row {number}",
        expected="an item for each number from 0 to len - 1",
        mend="Correct the Dataset, or leave the row out of its length",
    )


def not_read_together(
    numbers: Sequence[int], fault: Exception | None, items: Any, name: str
) -> DataError:
    """Return the error of rows that `__getitems__` does not give, though it gives each of them.

    Args:
        numbers: of the rows in the Dataset.
        fault: what `__getitems__` has raised; None: it gave something else than asked for.
        items: what it gave.
        name: what the Dataset is called in messages.
    """
    if fault is not None:
        told = f"raised {type(fault).__name__}: {first_line(fault)}{_at(fault)}"
    elif isinstance(items, list):
        told = f"returned {len(items)} items"
    else:
        told = f"returned a {type(items).__name__}"
    return DataError(
        f"__getitems__([{_listed(numbers)}]) {told}",
        where=name,
        expected=f"a list of {len(numbers)} items, each as __getitem__ gives it",
        mend="Correct the Dataset, or take __getitems__ out of it",
    )


def not_collated(
    numbers: Sequence[int], fault: Exception, name: str, collate: object | None
) -> DataError:
    """Return the error of items that do not become a batch.

    Args:
        numbers: of the rows in the Dataset.
        fault: what was raised.
        name: what the Dataset is called in messages.
        collate: the user's function; None: torch's.
    """
    told = f"failed on rows {_listed(numbers)}: {type(fault).__name__}: {first_line(fault)}"
    if collate is not None:
        return DataError(
            f"data.collate {told}{_at(fault)}",
            where=name,
            expected="a batch for a list of any of its items",
            mend="Correct the function",
        )
    return DataError(
        f"torch's default_collate {told}",
        where=name,
        expected="items of tensors, arrays or numbers, each of one shape",
        mend="Let __getitem__ give items of one shape, or name a function under data.collate that "
        "pads them",
    )


def _at(fault: Exception) -> str:
    """Return ` (file:line)` of the user's code: the innermost line that is not installed."""
    frames = [
        frame
        for frame in traceback.extract_tb(fault.__traceback__)
        if not frame.filename.startswith(_OURS)
    ]
    if not frames:
        return ""
    own = [frame for frame in frames if not _is_installed(frame.filename)]
    # Of a Dataset that is installed itself, the line that was asked for the row.
    told = own[-1] if own else frames[0]
    return f" ({told.filename}:{told.lineno})"


def _is_installed(file: str) -> bool:
    is_package = any(name in Path(file).parts for name in _PACKAGES)
    return is_package or file.startswith(_STANDARD) or file.startswith("<")


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:_SHOWN_ROWS])) + (", ..." if numbers[_SHOWN_ROWS:] else "")
