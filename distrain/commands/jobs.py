"""Commands on a cluster: `submit`, and `job list|status|logs|stop`."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from distrain.answer import print_result
from distrain.commands import training
from distrain.commands.options import Json
from distrain.commands.words import words
from distrain.errors import ClusterError, ConfigError, did_you_mean

if TYPE_CHECKING:
    from distrain.jobs.dashboard import Dashboard
    from distrain.jobs.ending import Ending
    from distrain.jobs.job import Job
    from distrain.jobs.plan import Command, Wish
    from distrain.jobs.request import Request

app = typer.Typer()
job_app = typer.Typer(help="Look at jobs on a cluster, follow and stop them.")
app.add_typer(job_app, name="job")

SUBMITTED: tuple["Command", ...] = ("train", "tune", "resume")
Dashboards = Annotated[
    str | None,
    typer.Option(
        "--address",
        help="Dashboard of the cluster, http://HOST:PORT [RAY_API_SERVER_ADDRESS or RAY_ADDRESS, "
        "else http://127.0.0.1:8265].",
        show_default=False,
    ),
]
JobId = Annotated[str, typer.Argument(help="The job's id, as `distrain submit` has told it.")]


@app.command(
    epilog="Example: distrain submit --wait train run.yaml storage=/mnt/shared/runs",
    context_settings={"ignore_unknown_options": True},
)
def submit(  # noqa: PLR0913 (each is an option)
    command: Annotated[
        list[str],
        typer.Argument(
            metavar="train|tune|resume ...",
            help="The command that shall run on the cluster, with its own words and options.",
            show_default=False,
        ),
    ],
    address: Dashboards = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Show the log, and end as the command ends.")
    ] = False,
    supervise: Annotated[
        bool,
        typer.Option(
            "--supervise",
            help="Wait, and submit it again where the head or the driver was lost: its run goes "
            "on.",
        ),
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Run it once more where the same has ended.")
    ] = False,
    env: Annotated[
        list[str] | None,
        typer.Option(
            help="Environment variable that goes along, beside those that the configuration "
            "names; no secret.",
            show_default=False,
        ),
    ] = None,
    upload_data: Annotated[
        bool | None,
        typer.Option(
            "--upload-data/--no-upload-data",
            help="Send local data along; or: it lies at the same path on the cluster.",
            show_default=False,
        ),
    ] = None,
    driver: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=AMOUNT",
            help="What Ray keeps for the driver, which may then run off the head: cpus=1, "
            "memory_gb=4, or a custom resource.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> int:
    """Run train, tune or resume as a job on a Ray cluster; the same is not run twice."""
    wish = _wish(command, env or [], upload_data=upload_data, is_again=again)
    from distrain.jobs import dashboard, following, submission
    from distrain.jobs.plan import asked_settings, plan_submission
    from distrain.jobs.whereabouts import is_this_machine
    from distrain.report import job_tables
    from distrain.report.display import open_display

    needs = submission.DriverNeeds.of(driver or [])
    with open_display(to_stderr=as_json) as shown:
        settings = asked_settings(wish)
        cluster = dashboard.connect(address)
        plan = plan_submission(wish, settings, is_here=is_this_machine(cluster))
        job, request = submission.submit(cluster, plan, needs)
        for text in submission.notes(plan, job):
            shown.note(text)
    links = submission.links(cluster, job.job_id, plan.settings)
    if not (wait or supervise):
        ending = following.ending_of(cluster, job)
        result = ending.result if ending is not None else None
        table = job_tables.job_table(job, links, result)
        print_result(table, _fields(job, result), as_json=as_json)
        return 0
    for name, text in {"job": job.job_id, **links}.items():
        _write(f"{name:<9}  {text}\n", to_stderr=as_json)
    if supervise:
        return _supervise(address, job, request, as_json=as_json)
    return _wait(cluster, job, as_json=as_json)


@job_app.command("list", epilog="Example: distrain job list")
def list_(address: Dashboards = None, as_json: Json = False) -> None:
    """List the jobs that distrain has submitted to a cluster, the newest first."""
    from distrain.jobs import dashboard
    from distrain.jobs.job import list_jobs
    from distrain.report import job_tables

    jobs = list_jobs(dashboard.connect(address))
    listed = {"jobs": [job.to_json() for job in jobs]}
    print_result(job_tables.jobs_table(jobs), listed, as_json=as_json)


@job_app.command(epilog="Example: distrain job status distrain-adult-3f2193bb1fb9")
def status(job_id: JobId, address: Dashboards = None, as_json: Json = False) -> None:
    """Tell how a job is, and once it has ended, what came of it."""
    from distrain.jobs import dashboard, following
    from distrain.jobs.job import known_job

    cluster = dashboard.connect(address)
    job = known_job(cluster, job_id)
    _print_job(cluster, job, following.ending_of(cluster, job), as_json=as_json)


@job_app.command(epilog="Example: distrain job logs -f distrain-adult-3f2193bb1fb9")
def logs(
    job_id: JobId,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the job ends, and end as it does.")
    ] = False,
    address: Dashboards = None,
    as_json: Json = False,
) -> int:
    """Print what a job has printed."""
    from distrain.jobs import dashboard, ending, following
    from distrain.jobs.job import known_job

    cluster = dashboard.connect(address)
    job = known_job(cluster, job_id)
    if follow:
        return _wait(cluster, job, as_json=as_json)
    text = ending.for_a_person(following.log_of(cluster, job_id))
    if as_json:
        print_result("", {**_fields(job, None), "log": text}, as_json=True)
    else:
        _write(text, to_stderr=False)
    return 0


@job_app.command(epilog="Example: distrain job stop distrain-adult-3f2193bb1fb9")
def stop(job_id: JobId, address: Dashboards = None, as_json: Json = False) -> None:
    """End a job, once its run has saved its state: `distrain submit resume` goes on with it."""
    from distrain.jobs import dashboard, following
    from distrain.jobs.job import known_job
    from distrain.report.display import open_display

    cluster = dashboard.connect(address)
    job = known_job(cluster, job_id)
    if not job.has_ended:
        with open_display(to_stderr=as_json) as shown:
            shown.stage("waiting for the run to save its state")
            job = following.stop(cluster, job)
    _print_job(cluster, job, following.ending_of(cluster, job), as_json=as_json)


@job_app.command("supervise", epilog="Example: distrain job supervise distrain-adult-3f2193bb1fb9")
def supervise_(job_id: JobId, address: Dashboards = None, as_json: Json = False) -> int:
    """Wait for a job, and submit it again where its driver was lost: its run goes on."""
    from distrain.jobs import dashboard
    from distrain.jobs.job import known_job
    from distrain.jobs.request import request_of

    cluster = dashboard.connect(address)
    job = known_job(cluster, job_id)
    request = request_of(cluster, job_id)
    return _supervise(address, job, request, as_json=as_json)


def _wish(
    command: list[str], env: list[str], *, upload_data: bool | None, is_again: bool
) -> "Wish":
    """Return what shall run, once its words are what the command itself would take."""
    from distrain.jobs.plan import Wish

    name, *rest = command
    chosen: Command | None = next((known for known in SUBMITTED if known == name), None)
    if chosen is None:
        raise ConfigError(
            f"{name!r} cannot be submitted",
            where="command line",
            expected="train, tune or resume",
            mend=did_you_mean(name, SUBMITTED, listed="There are"),
        )
    group: Any = typer.main.get_command(training.app)
    with group.commands[name].make_context(f"distrain submit {name}", rest) as context:
        given = dict(context.params)
    named, overrides = words(given.get("config") or given.get("run") or [], None)
    flags = {"offline": "--offline", "dry_run": "--dry-run", "last": "--last"}
    if name != "resume" and not named:
        raise ConfigError(
            "no configuration file",
            where="command line",
            expected="at least one file",
            mend=f"For example: distrain submit {name} run.yaml storage=/mnt/shared/runs",
        )
    return Wish(
        command=chosen,
        named=named,
        overrides=overrides,
        options=[flag for key, flag in flags.items() if given.get(key)],
        storage=given.get("storage"),
        env=env,
        upload_data=upload_data,
        is_again=is_again,
    )


def _wait(cluster: "Dashboard", job: "Job", *, as_json: bool) -> int:
    """Show a job's log until it ends; print what came of it and return the command's exit code."""
    from distrain.jobs import following

    with _going_on_alone(job):
        ended = following.wait(cluster, job, lambda text: _write(text, to_stderr=as_json))
    if ended is None:
        raise ClusterError(
            f"the cluster knows {job.job_id} no more",
            where=cluster.where,
            expected="the head that the job was submitted to",
            mend="Its head was started anew: submit the same again, and its run goes on",
        )
    ending = following.ending_of(cluster, ended)
    _print_job(cluster, ended, ending, as_json=as_json)
    return following.exit_code_of(ended, ending)


def _supervise(address: str | None, job: "Job", request: "Request", *, as_json: bool) -> int:
    from distrain.jobs import dashboard, following, supervision

    watch = supervision.Watch(
        connect=lambda: dashboard.connect(address),
        request=request,
        show=lambda text: _write(text, to_stderr=as_json),
        tell=lambda text: print(f"note: {text}", file=sys.stderr, flush=True),
    )
    with _going_on_alone(job):
        ended, ending = supervision.supervise(watch, job)
    _print_job(dashboard.connect(address), ended, ending, as_json=as_json)
    return following.exit_code_of(ended, ending)


@contextmanager
def _going_on_alone(job: "Job") -> Iterator[None]:
    """Tell whoever interrupts the watching that the job does not end with it."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"the job goes on: distrain job logs -f {job.job_id}", file=sys.stderr)
        raise


def _print_job(cluster: "Dashboard", job: "Job", ending: "Ending | None", *, as_json: bool) -> None:
    from distrain.jobs import submission
    from distrain.report import job_tables

    result = ending.result if ending is not None else None
    if job.status == "succeeded" and ending is None:
        print("note: its log cannot be read; its run's result.json tells the rest", file=sys.stderr)
    shown = job_tables.job_table(job, submission.links(cluster, job.job_id, None), result)
    print_result(shown, _fields(job, result), as_json=as_json)


def _fields(job: "Job", result: "Mapping[str, Any] | None") -> dict[str, Any]:
    return {"job_id": job.job_id, "status": job.status, "result": result}


def _write(text: str, *, to_stderr: bool) -> None:
    stream = sys.stderr if to_stderr else sys.stdout
    stream.write(text)
    stream.flush()
