"""A frame, a series or an index of pandas as an Arrow stream, and lists for columns of objects."""

from dataclasses import dataclass
from typing import Any, final

import numpy as np
import pyarrow as pa

from distrain.models.kept import Bytes, frame_of


def is_of_pandas(value: Any) -> bool:
    """Return whether it is a frame, a series or an index, without importing pandas."""
    return _kind_of(value) is not None


@final
@dataclass(frozen=True)
class Frame:
    """What `models.kept.frame_of` makes a frame of.

    Attributes:
        kind: `frame`, `series` or `index`.
        stream: Arrow's, `(bytes,)`.
        objects: label and items of each column of objects, by its place.
        labels: the columns' labels, and the name that these have.
    """

    kind: str
    stream: Bytes
    objects: dict[int, tuple[Any, list[Any]]]
    labels: list[Any]

    @classmethod
    def of(cls, value: Any) -> "Frame":
        """Return the parts of a frame, a series or an index.

        Raises:
            ValueError, TypeError: Arrow cannot hold it, or it would come back otherwise.
        """
        kind = _kind_of(value)
        assert kind is not None
        if kind == "frame":
            frame, labels = value, [value.columns.tolist(), value.columns.name]
        else:
            frame = value.to_frame() if kind == "series" else value.to_frame(index=False)
            labels = [[], value.name]
        plain = frame.set_axis([str(place) for place in range(frame.shape[1])], axis=1)
        has_objects = [dtype.kind == "O" and dtype.name == "object" for dtype in frame.dtypes]
        objects = {
            place: (frame.columns[place], frame.iloc[:, place].tolist())
            for place in np.flatnonzero(has_objects).tolist()
        }
        stream = _stream(plain.loc[:, [not one for one in has_objects]])
        lists = {place: items for place, (_, items) in objects.items()}
        if not frame_of(kind, stream, lists, labels).equals(value):
            raise ValueError("it would come back otherwise")
        return cls(kind, stream, objects, labels)


def _kind_of(value: Any) -> str | None:
    kind = type(value)
    if kind.__module__.partition(".")[0] != "pandas":
        return None
    if kind.__name__ in ("DataFrame", "Series"):
        return "frame" if kind.__name__ == "DataFrame" else "series"
    return "index" if any(one.__name__ == "Index" for one in kind.__mro__) else None


def _stream(frame: Any) -> Bytes:
    table = pa.Table.from_pandas(frame)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return np.frombuffer(sink.getvalue(), dtype=np.uint8)
