"""Whether data is still what a run was started with, and if not, which files differ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

from distrain.errors import DataError

_SHOWN_FILES: Final = 5
_SHOWN_DIGITS: Final = 12


@final
@dataclass(frozen=True)
class KnownData:
    """The data that a run was started with.

    Args:
        digest: of the prepared dataset.
        files: each source file with its `uri` and `sha256`, as a manifest lists them.
    """

    digest: str
    files: Sequence[Mapping[str, Any]]

    def check(
        self, digest: str, files: Sequence[Mapping[str, Any]], *, is_own: bool = False
    ) -> None:
        """Return where the data of now is the same.

        Args:
            digest: of the prepared dataset of now.
            files: the source files of now.
            is_own: whether it is a Dataset of the user's own, whose code the files are.

        Raises:
            DataError: it is not; both digests and the files that differ are named.
        """
        if digest == self.digest:
            return
        if is_own:
            raise DataError(
                f"the Dataset is not what the run was started with: its digest is "
                f"{digest[:_SHOWN_DIGITS]}..., it was {self.digest[:_SHOWN_DIGITS]}... "
                f"({self._difference(files) or 'its code is the same, its length is not'})",
                where="data.dataset",
                expected="the same code, arguments and number of rows",
                mend="Put back what it was, or start a new run with `distrain train`",
            )
        unlike = "each file is the same, but this version prepares them otherwise"
        raise DataError(
            f"the data is not what the run was started with: its digest is "
            f"{digest[:_SHOWN_DIGITS]}..., it was {self.digest[:_SHOWN_DIGITS]}... "
            f"({self._difference(files) or unlike})",
            where="data.source",
            expected="files with the same content",
            mend="Put the files back, or start a new run with `distrain train`",
        )

    def _difference(self, files: Sequence[Mapping[str, Any]]) -> str:
        before = {str(file["uri"]): file["sha256"] for file in self.files}
        after = {str(file["uri"]): file["sha256"] for file in files}
        told = [
            *(f"{uri} has changed" for uri in after if before.get(uri, after[uri]) != after[uri]),
            *(f"{uri} is new" for uri in after if uri not in before),
            *(f"{uri} is gone" for uri in before if uri not in after),
        ]
        more = f" and {len(told) - _SHOWN_FILES} more" if len(told) > _SHOWN_FILES else ""
        return ", ".join(told[:_SHOWN_FILES]) + more
