"""How a registered model is loaded, in lines to be pasted, and where MLflow has it."""

from pathlib import Path

from distrain.redaction import without_credentials
from distrain.run_folder import DATABASE, JOURNAL
from distrain.track.journal_reading import DRIVER, last_written
from distrain.track.tracking_server import STORAGE


def tracking_uri_of(run_dir: Path, configured: object) -> str | None:
    """Return where MLflow has a run, or a search, without credentials; None: not known here.

    That is what its last command has recorded: the environment of that one may have named it.

    Args:
        run_dir: its folder.
        configured: `track.uri` of its configuration, for one that has recorded none.

    Raises:
        OSError: the journal cannot be read.
    """
    record = last_written(DRIVER, run_dir / JOURNAL, "store")
    named = record.payload["identity"] if record is not None else configured
    if named and named != STORAGE:
        return without_credentials(str(named))
    database = run_dir.parent.parent / DATABASE
    return f"sqlite:///{database}" if database.is_file() else None


def loading_lines(model: str, tracking_uri: str | None) -> str:
    """Return lines of Python that load a model and predict with it.

    Args:
        model: its URI or folder.
        tracking_uri: where MLflow has it; None: nowhere that has to be said.
    """
    where = [f"mlflow.set_tracking_uri({tracking_uri!r})"] if tracking_uri is not None else []
    lines = [
        "import mlflow, pandas",
        "",
        *where,
        f"model = mlflow.pyfunc.load_model({model!r})",
        'model.predict(pandas.read_csv("rows.csv"))',
    ]
    return "\n".join(lines)
