"""What is written down, as messages call it, and how they refuse what cannot be."""

import io
import types
from dataclasses import dataclass
from typing import Any, Final, final

from distrain.errors import DistrainError, ModelError


@final
@dataclass(frozen=True)
class Subject:
    """What is described, for messages.

    Attributes:
        word: what it is called: `model`, `data`.
        error: the class of errors that tell what is wrong with it.
        expected: what it should be.
        otherwise: what to do about a part that is of no use in this form.
        instead: what else can be handed over.
    """

    word: str
    error: type[DistrainError]
    expected: str
    otherwise: str
    instead: str

    def refusal(self, where: str, what: str, mend: str) -> DistrainError:
        """Return the error of a part that cannot be written down.

        Args:
            where: the attributes that lead to it.
            what: what it is.
            mend: what to do about it.
        """
        return self.error(
            f"it holds {what}, which cannot be written down for the workers",
            where=f"{self.word} {where}",
            expected=self.expected,
            mend=f"{mend}; or hand over {self.instead}",
        )

    def unwritable(self, where: str, value: Any) -> DistrainError:
        """Return the error of an object that nothing is known of but its class."""
        if isinstance(value, io.IOBase):
            mend = "Keep its path, and open it where it is first read"
            return self.refusal(where, "an open file", mend)
        if isinstance(value, types.GeneratorType):
            return self.refusal(where, "a generator", "Make a list of it")
        return self.refusal(where, f"a {named(value)}", self.otherwise)


MODEL: Final = Subject(
    word="model",
    error=ModelError,
    expected="a module that is made of its class, plain attributes and tensors",
    otherwise="Keep numbers, text, lists, tensors and modules alone",
    instead="the class, or a function that makes the module, in its place",
)


def named(value: Any) -> str:
    """Return the class of an object, with its module."""
    return f"{type(value).__module__}.{type(value).__qualname__}"
