"""The user's own classes and functions, found by import path `package.module:Name`."""

import importlib
from typing import Any

from distrain.errors import ModelError, did_you_mean


def load_target(target: str, *, where: str) -> Any:
    """Return the class or function that an import path names.

    Args:
        target: `package.module:Name`; the name may have dots.
        where: the configuration key that named it, for messages.

    Raises:
        ModelError: the module cannot be imported, has no such name, or it cannot be called.
    """
    module_name, _, name = target.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except (Exception, SystemExit) as fault:  # a script may leave when it is imported
        raise _not_imported(target, module_name, where, fault) from fault
    for part in name.split("."):
        if not hasattr(found, part):
            public = [option for option in vars(found) if not option.startswith("_")]
            raise ModelError(
                f"{target!r}: {module_name} has no {part!r}",
                where=where,
                mend=did_you_mean(part, public, listed="It has"),
            )
        found = getattr(found, part)
    if not callable(found):
        raise ModelError(
            f"{target!r} gives a {type(found).__name__}",
            where=where,
            expected="a class or a function",
            mend=f"Name another one in {module_name}",
        )
    return found


def _not_imported(target: str, module: str, where: str, fault: BaseException) -> ModelError:
    name = target.partition(":")[2]
    if module.endswith(".py"):
        mend = f"Name the module, not its file: {module.removesuffix('.py')}:{name}"
    elif isinstance(fault, ModuleNotFoundError) and (fault.name or "") in _parents(module):
        mend = "Check the spelling of the module, and that its folder is on the Python path"
    else:
        mend = f"Run `python -c 'import {module}'` to see the whole traceback"
    return ModelError(
        f"{target!r}: importing {module} failed ({type(fault).__name__}: {fault})",
        where=where,
        expected="package.module:Name, importable from the folder of the configuration",
        mend=mend,
    )


def _parents(module: str) -> set[str]:
    parts = module.split(".")
    return {".".join(parts[: end + 1]) for end in range(len(parts))}
