"""What may stand in `cluster.env`: no variable that has other code run than a `target:` names.

A configuration may come from anybody, and is read before it is run. What runs of the user's own is
to be found in it by its import paths, which `--dry-run` names; the loader of libraries, Python and
Ray take code from variables as well.
"""

import re
from collections.abc import Iterator
from typing import Final

from distrain.config.faults import Fault
from distrain.config.settings import Settings

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Of the dynamic loader, the shell, compilers, OpenSSL; hooks and callbacks are Ray's.
_LOADING: Final = re.compile(
    r"LD_.*|DYLD_.*|PYTHON[A-Z].*|PATH|CC|CXX|NVCC.*|CUDA_(HOME|PATH)|BASH_ENV|GCONV_PATH"
    r"|OPENSSL_.*|.*((?<!WEB)HOOK|PLUGIN|AUTOLOAD|CALLBACKS|CLOUDPICKLE).*",
)
_HARMLESS: Final = (
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONFAULTHANDLER",
    "PYTHONHASHSEED",
    "PYTHONIOENCODING",
    "PYTHONMALLOC",
    "PYTHONNOUSERSITE",
    "PYTHONOPTIMIZE",
    "PYTHONTRACEMALLOC",
    "PYTHONUNBUFFERED",
    "PYTHONUTF8",
)


def check_env(settings: Settings) -> Iterator[Fault]:
    """Yield the variables of `cluster.env` that can be none, or that have other code run."""
    for name, value in settings.cluster.env.items():
        if not _NAME.fullmatch(name) or "\0" in value:
            yield Fault(
                f"cluster.env has {name!r}, which can be no variable",
                (("cluster", "env"),),
                expected="names of letters, digits and '_', and values without U+0000",
            )
        elif _is_loading(name, value):
            yield Fault(
                f"cluster.env.{name} would have code run that no target names",
                (("cluster", "env", name),),
                expected="variables that only set something, such as NCCL_SOCKET_IFNAME",
                mend="Set it on the cluster's nodes, or in the environment that distrain is "
                "started from",
            )


def _is_loading(name: str, value: str) -> bool:
    if name.startswith("NCCL_") and "/" not in value:  # the name of one that is installed
        return False
    return name not in _HARMLESS and _LOADING.fullmatch(name) is not None
