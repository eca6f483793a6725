"""What was asked for, checked here, as what is sent: files, command line, variables, id.

    settings validated, what cannot work on a cluster refused
    the command's words for there: configuration files in the package, all paths absolute
    the files: distrain, configuration, the user's code, data that was asked for
    an id over all of that: the same submission has the same id

In: a wish. Out: a plan, which `submission.py` carries out. Nothing is sent here.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, final

from distrain.config.load import load_settings, read_written
from distrain.config.settings import Settings
from distrain.jobs.package import CONFIG, Files, check_size, digest_of, own_files
from distrain.jobs.refusals import refuse_unfit
from distrain.jobs.seen_run import SeenRun, UnseenRun, check_absolute, seen_run
from distrain.jobs.ticket import FILE, Ticket
from distrain.jobs.uploads import Uploads, uploads_for
from distrain.jobs.user_files import code_files
from distrain.jobs.variables import Variables, account_of, variables_for
from distrain.object_store.place import remote_text
from distrain.run_folder import CONFIG as RUN_CONFIG
from distrain.search_checks import check_search
from distrain.stored_run import read_stored_run
from distrain.track.lineage import digest, own_hashes
from distrain.track.standing import standing_here
from distrain.track.stores import server_of_new_run

Command = Literal["train", "tune", "resume"]
_STORAGE: Final = "storage="


@final
@dataclass(frozen=True)
class Wish:
    """A command that shall run as a job.

    Attributes:
        command: which one.
        named: its configuration files; of `resume` a run, or nothing.
        overrides: `section.key=value`.
        options: of the command, such as `--offline`, as they are written.
        storage: of `resume`: where runs are kept.
        env: names of variables that go along.
        upload_data: whether local data goes along; False: it lies at the same path on the cluster;
            None: not said.
        is_again: whether it runs once more where it has ended.
    """

    command: Command
    named: Sequence[str]
    overrides: Sequence[str] = ()
    options: Sequence[str] = ()
    storage: Path | None = None
    env: Sequence[str] = ()
    upload_data: bool | None = None
    is_again: bool = False

    @property
    def words(self) -> list[str]:
        """Return the command line as the user wrote it."""
        return [self.command, *self.named, *self.overrides, *self.options]


@final
@dataclass(frozen=True)
class Plan:
    """What is sent.

    Attributes:
        name: of the experiment.
        words: the command's words for the cluster.
        files: what goes along, but for the ticket.
        variables: of the environment.
        settings: what the job does; None: a run that cannot be seen from here goes on.
        shown: the user's own words.
        uploads: data among the files; None: there is none.
        is_repeatable: whether it runs once more where it has ended.
        unseen: why the run that goes on cannot be looked at from here, so that no code of the
            user's goes along; empty: it can.
    """

    name: str
    words: Sequence[str]
    files: Files
    variables: Variables
    settings: Settings | None
    shown: Sequence[str]
    uploads: Uploads | None = None
    is_repeatable: bool = False
    unseen: str = ""

    @property
    def job_id(self) -> str:
        """Return the id: of the content, the command line and the variables."""
        told = [digest_of(self.files), list(self.words), dict(self.variables.sent)]
        content = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
        return f"distrain-{self.name}-{content[:12]}"

    def packed(self, job_id: str) -> dict[str, Path | bytes]:
        """Return all files, with the ticket of a job.

        Args:
            job_id: by which the job finds the run again that it has begun.
        """
        ticket = Ticket(
            job_id=job_id,
            code_sha256=digest(own_hashes()),
            standing=replace(standing_here(), job_id=job_id).to_json(),
            words=list(self.shown),
            uploads=self.uploads.kept_in if self.uploads is not None else {},
        )
        if self.settings is not None:
            ticket = replace(ticket, account=account_of(self.settings))
            if self.words[0] != "resume":
                storage, name = self.settings.storage, str(self.settings.name)
                ticket = replace(ticket, storage=storage, name=name)
        return {**self.files, FILE: ticket.to_bytes()}


def asked_settings(wish: Wish) -> Settings | None:
    """Return what is asked for, valid by itself; None: it is a run that shall go on.

    Args:
        wish: what was asked for.

    Raises:
        ConfigError: anything is wrong; its text has one line for each fault.
    """
    if wish.command == "resume":
        return None
    settings = load_settings(wish.named, wish.overrides)
    if wish.command == "tune":
        check_search(settings)
    return settings


def plan_submission(wish: Wish, settings: Settings | None, *, is_here: bool) -> Plan:
    """Return what is sent.

    Args:
        wish: what was asked for.
        settings: what `asked_settings` gave.
        is_here: whether the cluster is this very machine.

    Raises:
        ConfigError: anything is wrong; its text has one line for each fault.
    """
    if settings is None:
        return _plan_resume(wish, is_here=is_here)
    refuse_unfit(
        settings,
        read_written(wish.named, wish.overrides),
        is_here=is_here,
        is_data_there=wish.upload_data is not None,
    )
    server_of_new_run(settings, is_offline=True)  # one that cannot be is told here
    variables = variables_for(settings, wish.env)
    configs = {
        f"{CONFIG}/{rank}/{Path(name).name}": Path(name) for rank, name in enumerate(wish.named)
    }
    uploads = uploads_for(settings) if wish.upload_data else Uploads()
    beside = [str(Path(name).absolute().parent) for name in wish.named]
    files: dict[str, Path | bytes] = {
        **own_files(),
        **configs,
        **code_files(settings, [*beside, str(Path.cwd())], is_search=wish.command == "tune"),
        **uploads.files,
    }
    check_size(files)
    settled = _settled(settings, uploads)
    words = [
        wish.command,
        *(f"../{name}" for name in configs),
        *(word for word in wish.overrides if word.partition("=")[0] not in settled),
        *(f"{key}={_written(value)}" for key, value in settled.items()),
        *wish.options,
    ]
    return Plan(
        name=str(settings.name),
        words=words,
        files=files,
        variables=variables,
        settings=settings,
        shown=wish.words,
        uploads=uploads,
        is_repeatable=wish.is_again,
    )


def _plan_resume(wish: Wish, *, is_here: bool) -> Plan:
    """Return how a run goes on; it is looked at here where its storage can be seen."""
    named_by = [word.removeprefix(_STORAGE) for word in wish.overrides if word.startswith(_STORAGE)]
    storage = [wish.storage or Path("runs"), *map(Path, named_by)][-1]
    is_last = "--last" in wish.options
    settings = None
    with seen_run(wish.named, storage, is_last=is_last, is_here=is_here) as seen:
        if isinstance(seen, SeenRun):
            run_dir = seen.folder
            settings = read_stored_run(run_dir, wish.overrides).settings
            written = read_written([run_dir / RUN_CONFIG], wish.overrides)
            refuse_unfit(settings, written, is_here=is_here, is_data_there=True)
    if isinstance(seen, SeenRun):
        named, options = [seen.name], [word for word in wish.options if word != "--last"]
    else:
        check_absolute(wish.named, wish.storage)
        named, options = list(wish.named), list(wish.options)
        if wish.storage is not None:
            options += ["--storage", remote_text(wish.storage) or str(wish.storage)]
    files: dict[str, Path | bytes] = {**own_files(), **_resumed_code(settings)}
    check_size(files)
    return Plan(
        name=str(settings.name) if settings else "resume",
        words=["resume", *named, *_resumed_overrides(wish, settings), *options],
        files=files,
        variables=variables_for(settings, wish.env),
        settings=settings,
        shown=wish.words,
        is_repeatable=True,  # of a run that is done, its result is returned
        unseen=seen.why if isinstance(seen, UnseenRun) else "",
    )


def _resumed_overrides(wish: Wish, settings: Settings | None) -> list[str]:
    """Return the overrides of a run that goes on, with the paths of now made absolute."""
    settled = _settled(settings, Uploads()) if settings is not None else {}
    keys = {word: word.partition("=")[0] for word in wish.overrides}
    if settings is not None:
        keys = {word: key for word, key in keys.items() if key != "storage"}  # the run is named
    return [
        *(
            f"{key}={_written(settled[key])}" if key in settled else word
            for word, key in keys.items()
        ),
        "cluster.address=null",
    ]


def _written(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _resumed_code(settings: Settings | None) -> Mapping[str, Path | bytes]:
    if settings is None:
        return {}
    is_search = settings.tune is not None
    return code_files(settings, [str(Path.cwd())], is_search=is_search)


def _settled(settings: Settings, uploads: Uploads) -> dict[str, object]:
    """Return what makes a configuration mean there what it means here, by dotted key."""
    data = settings.data.model_dump()
    values: dict[str, object] = {"storage": settings.storage}
    for key in ("source", "test_source"):
        if data[key] is not None:
            values[f"data.{key}"] = data[key]
    for key in ("path", "local_path"):
        if data["cache"][key] is not None:
            values[f"data.cache.{key}"] = data["cache"][key]
    values |= uploads.sources
    if settings.track.uri is not None and settings.track.uri.startswith("sqlite:"):
        values["track.uri"] = server_of_new_run(settings, is_offline=True).uri
    values["cluster.address"] = None  # the job's own, which Ray tells it
    return values
