"""What each attempt at a run is handed to: Ray Train, as it is wanted here.

`RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S` limits the wait for a placement group alone (Ray 2.60.0).
Workers that import torch from a network disk, 32 at once, have half an hour for it, and then
`cluster.collective_timeout_s` to meet.
"""

import importlib
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, final

from distrain.config.settings import ClusterSettings
from distrain.object_store.link import link_of
from distrain.object_store.work_link import for_workers
from distrain.train.job import TrainJob
from distrain.train.line import Line
from distrain.train.placement import Placement
from distrain.train.worker import train_fn_per_worker
from distrain.train.worker_environment import part_environment

PLACEMENT_TIMEOUT_S: Final = 60
START_S: Final = 1800.0
"""How long workers may take to begin, and `cluster.collective_timeout_s` more to meet."""

# How often Ray Train's controller looks at its workers; its default of 2 s delays every end.
ENVIRONMENT: Final = {
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.25",
    "RAY_TRAIN_ENABLE_CONTROLLER_STRUCTURED_LOGGING": "0",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": str(PLACEMENT_TIMEOUT_S),
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}
"""Of the driver's process, before it loads Ray Train."""


@final
@dataclass(frozen=True)
class TrainerMaker:
    """Makes Ray Train's trainer for each attempt at a run.

    Attributes:
        job: what to train.
        placement: the workers' resources.
        cluster: their environment, and the timeout of their collective calls.
        import_paths: folders that they can import the user's code from.
        is_left: set by whoever does not wait for them any more.
        note: told what the user should know.
        line: what holds room for the first workers; None: there is room.
    """

    job: TrainJob
    placement: Placement
    cluster: ClusterSettings
    import_paths: list[str]
    is_left: threading.Event
    note: Callable[[str], None]
    line: Line | None = None

    def make(self, attempt: int, num_workers: int, hub: str | None) -> Any:
        """Return a trainer that is yet to `fit`.

        Args:
            attempt: its number, from 1.
            num_workers: how many workers it has.
            hub: name of what training rows are streamed through; None: they are not.
        """
        # Untyped: Ray's annotations are those of the older interface, which takes other arguments.
        ray_train: Any = importlib.import_module("ray.train")
        controller: Any = importlib.import_module("distrain.train.controller")
        link = link_of(Path(self.job.run_dir))
        placement, timeout_s = self.placement, self.cluster.collective_timeout_s
        told, own = part_environment(self.cluster.env, self.job.model.get("args") or {})
        config = {
            "job": replace(self.job, attempt=attempt).to_json(),
            "attempt": attempt,
            "import_paths": self.import_paths,
            "environment": own,
            "has_gpu": placement.gpu > 0,
            "collective_timeout_s": timeout_s,
            "stream": hub,
            "store": None if link is None else for_workers(link, attempt),
        }
        run_dir = Path(self.job.run_dir)
        resources = {"CPU": placement.cpu} | ({"GPU": placement.gpu} if placement.gpu else {})
        return controller.InProcessTrainer(
            # Ray's dashboard shows a train_loop_config, and URIs in the job may hold credentials.
            partial(train_fn_per_worker, config),
            start=controller.Start(self.is_left, self.note, START_S + timeout_s, self.line),
            scaling_config=ray_train.ScalingConfig(
                num_workers=num_workers,
                use_gpu=placement.gpu > 0,
                resources_per_worker=resources,
            ),
            run_config=ray_train.RunConfig(
                name=run_dir.name,
                storage_path=str(run_dir.parent),
                failure_config=ray_train.FailureConfig(
                    max_failures=0, controller_failure_limit=0, max_preemption_failures=0
                ),
                worker_runtime_env={"env_vars": told} if told else None,
                logging_config=ray_train.LoggingConfig(log_level="ERROR"),
            ),
            torch_config=controller.MeetingConfig(
                backend=placement.collective_backend, timeout_s=math.ceil(timeout_s)
            ),
        )
