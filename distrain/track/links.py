"""Addresses of MLflow's pages, and links in a description to what has an id only at MLflow. Pure.

A description is recorded before its run, its experiment and its trials have ids: a tracking server
may be away for hours. So it names what it links to, as in `[trial 7](distrain:trial/7)`, and the
ids are filled in when it is sent.

    distrain:leaderboard, distrain:charts     the search's saved views
    distrain:all                              of a search of more than 100 trials, the third one
    distrain:run                              the run itself
    distrain:trial/7                          a trial's run
    distrain:artifacts/search/decisions.csv   a file among the run's artifacts
    distrain:model/digits/3                   a version's page

Every address asks for the UI's mode for training: the other one has no list of models, and calls
runs "evaluations".
"""

import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, final

from distrain.track.saved_views import ALL, CHARTS, LEADERBOARD, view_id

MODE: Final = "workflowType=machine_learning"
NOTE_TAG: Final = "mlflow.note.content"
UI_PORT: Final = 5000
"""Where `distrain ui` answers, unless it is told otherwise."""
MAX_NOTE_LENGTH: Final = 8000

# Not what `markdown.plain` has made of the same signs in a text of others.
_LINK: Final = re.compile(r"(?<!\\)\[(?P<text>(?:\\.|[^\[\]\\])*)\]\(distrain:(?P<what>[^)\s]+)\)")
_TRIAL: Final = re.compile(r"[0-9]{1,18}")
_CUT: Final = "\n\n(cut: MLflow takes 8,000 characters)"


@final
@dataclass(frozen=True)
class Pages:
    """The pages of one run, by the ids that MLflow has given.

    Attributes:
        experiment_id: MLflow's.
        run_id: MLflow's.
        key: the run's own, by which a search's saved views are found.
        trials: of a search, a trial's number to MLflow's id of its run.
    """

    experiment_id: str
    run_id: str
    key: str = ""
    trials: Mapping[int, str] = field(default_factory=dict)

    @property
    def run(self) -> str:
        """Return the run's page."""
        return self._run(self.run_id)

    @property
    def leaderboard(self) -> str:
        """Return the table of a search's trials, the best first."""
        return self._view(LEADERBOARD)

    @property
    def charts(self) -> str:
        """Return the charts of a search's trials."""
        return self._view(CHARTS)

    @property
    def all(self) -> str:
        """Return the table of all trials of a search that has more than a page takes."""
        return self._view(ALL)

    def find(self, what: str) -> str | None:
        """Return the page that a description names behind `distrain:`; None: it has no id yet."""
        kind, _, rest = what.partition("/")
        if kind == "trial":
            trial = self.trials.get(int(rest)) if _TRIAL.fullmatch(rest) else None
            return None if trial is None else self._run(trial)
        if kind == "artifacts":
            return self._run(self.run_id, f"/artifacts/{urllib.parse.quote(rest)}")
        if kind == "model":
            name, _, version = rest.rpartition("/")
            return f"#/models/{name}/versions/{version}?{MODE}"
        return {
            LEADERBOARD: self.leaderboard,
            CHARTS: self.charts,
            ALL: self.all,
            "run": self.run,
        }.get(what)

    def _run(self, run_id: str, behind: str = "") -> str:
        return f"#/experiments/{self.experiment_id}/runs/{run_id}{behind}?{MODE}"

    def _view(self, view: str) -> str:
        shown = "&compareRunsMode=CHART" if view == CHARTS else ""
        share = f"viewStateShareKey={view_id(self.key, view)}"
        return f"#/experiments/{self.experiment_id}/runs?{share}{shown}&{MODE}"


def with_links(text: str, pages: Pages) -> str:
    """Return a description with its links filled in; cut at a line where it grows too long."""

    def link(found: re.Match[str]) -> str:
        page = pages.find(found["what"])
        return found["text"] if page is None else f"[{found['text']}]({page})"

    filled = _LINK.sub(link, text)
    if len(filled) <= MAX_NOTE_LENGTH:
        return filled
    kept = filled[: MAX_NOTE_LENGTH - len(_CUT)]
    return kept[: kept.rfind("\n")] + _CUT
