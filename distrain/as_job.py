"""What a submitted job runs: a command of distrain, in the package that was sent with it.

    check that the cluster has what distrain needs, and that the distrain of the package runs
    take the account at a cloud that `cluster.env` names, as the workers do
    keep data that came along on the storage
    go on with the run that this submission has begun before, or run the command
    say at the end of the log what came of it

An unmet goal ends the job with 0: it is finished, and nobody shall train it again. What distrain
needs is imported once it is known to be there. A job that says nothing of its end was lost, and is
submitted again by whoever watches it: so what was refused is said, too.
"""

import importlib.metadata
import json
import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from distrain.errors import EXIT_GOALS_UNMET, ConfigError, DistrainError
from distrain.jobs.ending import Ending, ending_line
from distrain.plain_json import error_fields

if TYPE_CHECKING:
    from distrain.jobs.ticket import Ticket


def main() -> NoReturn:
    """Run the command that the arguments name, and leave with the job's exit code."""
    try:
        _check_installed()
        ending = _run(Path.cwd(), sys.argv[1:])
    except DistrainError as error:
        ending = _refused(error)
    except ImportError as error:  # of a library that nothing told of before
        ending = _refused(_lacking(str(error)))
    except OSError as error:  # before the command: its own are told by it
        ending = _refused(_unusable(error))
    sys.stderr.flush()
    print(ending_line(ending), flush=True)
    sys.exit(0 if ending.exit_code == EXIT_GOALS_UNMET else ending.exit_code)


def _run(package: Path, words: Sequence[str]) -> Ending:
    from distrain import cli
    from distrain.config.environment import expanded
    from distrain.jobs.package import CODE
    from distrain.jobs.ticket import Ticket
    from distrain.track import standing

    ticket = Ticket.read(package)
    _check_code(ticket)
    os.environ.update(expanded(ticket.account))
    standing.carry_over(standing.Standing.from_json(ticket.standing))
    _keep_uploads(package, ticket)
    (package / CODE).mkdir(exist_ok=True)
    os.chdir(package / CODE)
    words = _going_on(ticket, words)
    # What the record calls the command is what the user wrote.
    sys.argv = ["distrain", *ticket.words]
    code, line = _captured(lambda: cli.run([*words, "--json"]))
    return Ending(code, json.loads(line) if line else None)


def _refused(error: DistrainError) -> Ending:
    print(f"error: {error}", file=sys.stderr, flush=True)
    return Ending(error.exit_code, error_fields(error))


def _check_installed() -> None:
    """Return where the cluster has what the distrain of the package needs.

    Raises:
        ConfigError: it lacks something, or has another version of it.
    """
    try:
        from packaging.requirements import Requirement

        wanted = [Requirement(text) for text in importlib.metadata.requires("distrain") or []]
    except (ImportError, importlib.metadata.PackageNotFoundError):
        return  # what is not there is told when it is imported
    unfit = [
        f"{one.name}{one.specifier} ({_version_of(one.name) or 'not there'})"
        for one in wanted
        if (one.marker is None or one.marker.evaluate({"extra": ""}))
        and not one.specifier.contains(_version_of(one.name) or "0.dev0", prereleases=True)
    ]
    if unfit:
        raise _lacking(", ".join(unfit))


def _lacking(what: str) -> ConfigError:
    return ConfigError(
        f"the cluster lacks what distrain needs: {what}",
        where=f"{sys.executable} on {os.uname().nodename}",
        expected="the libraries that distrain was installed with",
        mend="Install distrain on the cluster's nodes, or in their image, for the Python "
        "that `python` is there",
    )


def _unusable(error: OSError) -> ConfigError:
    return ConfigError(
        f"the job cannot begin ({error.strerror or error})",
        where=f"{error.filename or Path.cwd()} on {os.uname().nodename}",
        expected="a storage, and a working directory, that the cluster's nodes can write",
        mend="Mend it, or name another storage, and submit again",
    )


def _version_of(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _check_code(ticket: "Ticket") -> None:
    from distrain.track.lineage import digest, own_hashes

    if digest(own_hashes()) != ticket.code_sha256:
        raise ConfigError(
            "another distrain runs here than was sent with the job",
            where=str(Path(__file__).parent),
            expected="the sources of the package, before those that the cluster has",
            mend="Unset PYTHONSAFEPATH, and whatever else leads away from the working directory",
        )


def _keep_uploads(package: Path, ticket: "Ticket") -> None:
    """Copy data that came along to the storage; it is all there then."""
    from distrain.config.environment import expand_env
    from distrain.object_store.kept_folder import keep_folder
    from distrain.object_store.place import Place, remote_text

    for folder, kept_in in ticket.uploads.items():
        place = expand_env(kept_in)
        uri = remote_text(place)
        if uri is None:
            _keep_folder(package / folder, Path(place))
        else:
            keep_folder(package / folder, Place.parse(uri))


def _keep_folder(folder: Path, place: Path) -> None:
    """Copy a folder to where it is kept, whole or not at all."""
    from distrain.durable import sync_file, sync_folder

    if place.exists():
        return
    partial = place.with_name(f".{place.name}.{uuid.uuid4().hex}.tmp")
    try:
        shutil.copytree(folder, partial)
        for path in partial.rglob("*"):
            (sync_folder if path.is_dir() else sync_file)(path)
        try:
            partial.rename(place)
        except OSError:
            if not place.exists():  # else another job has kept the same meanwhile
                raise
        sync_folder(place.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _going_on(ticket: "Ticket", words: Sequence[str]) -> list[str]:
    """Return the words to run: those given, or those that go on with what they have begun."""
    from distrain.jobs.begun import find_begun

    begun = find_begun(ticket)
    if begun is None:
        return list(words)
    print(f"going on with {begun}, which this job has begun", file=sys.stderr, flush=True)
    return ["resume", begun, *(word for word in words if word == "--offline")]


def _captured(run: Callable[[], int]) -> tuple[int, str]:
    """Run a command that prints one line of JSON as its last; return its code and that line."""
    with tempfile.TemporaryFile() as printed:
        sys.stdout.flush()
        kept = os.dup(1)
        os.dup2(printed.fileno(), 1)
        try:
            code = run()
        finally:
            sys.stdout.flush()
            os.dup2(kept, 1)
            os.close(kept)
        printed.seek(0)
        lines = printed.read().decode().strip().splitlines()
    return code, lines[-1] if lines else ""


if __name__ == "__main__":
    main()
