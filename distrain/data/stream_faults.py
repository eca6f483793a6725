"""What ends a stream of training rows: carried through Ray whole, and raised as what it is.

Ray tells of an exception in a task in colours, with process numbers and addresses: that is nothing
for a person, and is never the same twice, so that a fault that comes again is not known again.
"""

import json
import traceback
from dataclasses import dataclass
from typing import Literal, NoReturn, final

from ray.exceptions import RayError

from distrain.data.files import is_of_storage
from distrain.data.runs import fault_to_json
from distrain.errors import DataError, first_line

Kind = Literal["data", "storage", "lost", "defect"]


@final
@dataclass(frozen=True)
class StreamFault:
    """A fault in plain values.

    Attributes:
        kind: `data`: the user's; `storage`: a file or the dataset could not be read; `lost`: Ray
            lost what makes the rows; `defect`: an exception that nobody foresaw.
        text: what was found; of `data` and `storage` the parts of a DataError, as JSON.
        traceback: of a defect.
    """

    kind: Kind
    text: str
    traceback: str = ""

    @classmethod
    def of(cls, error: BaseException) -> "StreamFault":
        """Return what an exception comes to."""
        if isinstance(error, DataError):
            kind: Kind = "storage" if is_of_storage(error.__cause__) else "data"
            return cls(kind, fault_to_json(error))
        if isinstance(error, RayError):
            return cls("lost", type(getattr(error, "cause", None) or error).__name__)
        if isinstance(error, OSError):
            return cls("lost", first_line(error))
        told = f"{type(error).__name__}: {first_line(error)}"
        return cls("defect", told, "".join(traceback.format_exception(error)))

    @classmethod
    def from_json(cls, text: str) -> "StreamFault":
        """Return the fault that `to_json` wrote down."""
        return cls(**json.loads(text))

    def to_json(self) -> str:
        """Return the fault as JSON on one line."""
        return json.dumps({"kind": self.kind, "text": self.text, "traceback": self.traceback})

    def throw(self) -> NoReturn:
        """Raise the error that it stands for.

        Raises:
            DataError: the data's fault; or the storage's, with an OSError as its cause.
            ConnectionError: what makes the rows was lost.
            RuntimeError: a defect.
        """
        if self.kind == "data":
            raise DataError(**json.loads(self.text))
        if self.kind == "storage":
            raise DataError(**json.loads(self.text)) from OSError("in the task that reads")
        if self.kind == "lost":
            raise ConnectionError(f"the stream of training rows was lost ({self.text})")
        defect = RuntimeError(f"training rows could not be made of data.source: {self.text}")
        defect.add_note(self.traceback)
        raise defect
