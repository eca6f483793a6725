"""Whether the metric that decides a search will be there, once the data has told its task."""

from distrain.config.settings import Settings
from distrain.data.prepared import PreparedDataset
from distrain.train.components import check_computed, split_names
from distrain.train.job import TrainJob
from distrain.train.metrics import resolve_metrics


def check_deciding(settings: Settings, job: TrainJob, dataset: PreparedDataset) -> None:
    """Refuse a search by a metric that no trial will compute.

    Args:
        settings: with a `tune` section.
        job: of the configuration as it is written.
        dataset: what is trained on.

    Raises:
        ConfigError: `tune.metric` is not among what is computed while training.
    """
    assert settings.tune is not None
    if job.step is not None:
        return  # what it returns is known when it runs; a trial without the metric tells
    metrics = resolve_metrics(job.metrics, dataset.transform.task)
    check_computed(settings.tune.metric, "tune.metric", metrics, split_names(dataset))
