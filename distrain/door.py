"""Modules that can be called: `distrain.train(...)`, though `distrain.train` is a package.

Importing any submodule binds the package's name in `distrain`, and would hide a function of that
name; so the package itself takes the call.
"""

import importlib
import sys
from types import ModuleType
from typing import Any


class CallableModule(ModuleType):
    """A module that hands a call on to the function of its own name in `distrain.api`."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function of `distrain.api` that has this module's name."""
        api = importlib.import_module("distrain.api")
        return getattr(api, self.__name__.rpartition(".")[2])(*args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how it is found again: a task of Ray's that calls it takes it along by name."""
        return importlib.import_module, (self.__name__,)


def make_callable(module: str) -> None:
    """Let a module take calls.

    Args:
        module: its full name; it is being imported.
    """
    sys.modules[module].__class__ = CallableModule
