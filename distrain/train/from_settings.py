"""From the settings and a prepared dataset to the job that workers are given."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from distrain.config.course import parts_of
from distrain.config.digest import resolved_dict, steps_digest
from distrain.config.environment import expand_env
from distrain.config.settings import Settings
from distrain.config.targets import is_choice, user_targets
from distrain.data.prepared import PreparedDataset
from distrain.data.recipe import streamed_files
from distrain.locations import initial_weights_of
from distrain.models.build import construct_target, seeded
from distrain.models.target import load_target
from distrain.train.job import TrainJob


def check_user_code(settings: Settings, *, is_search: bool = False) -> None:
    """Import what the settings name by `target`, and construct the model: no data is needed.

    Args:
        settings: with defaults resolved.
        is_search: as for `user_targets`.

    Raises:
        ModelError: something cannot be imported, or the model cannot be constructed.
    """
    model = resolved_dict(settings)["model"]
    if "target" in model:
        with seeded(settings.seed):
            construct_target(model["target"], model.get("args") or {})
    for key, target in user_targets(settings, is_search=is_search):
        if not is_choice(key):
            load_target(target, where=key)


def job_from_settings(settings: Settings, dataset: PreparedDataset, run_dir: Path) -> TrainJob:
    """Return the training run that the settings ask for, on a prepared dataset.

    Where there is no validation split, nothing is selected by one.

    Args:
        settings: with defaults resolved.
        dataset: the prepared dataset.
        run_dir: the run's folder; it need not exist yet.
    """
    plain = resolved_dict(settings)
    wanted, path = plain["model"].pop("init_from"), initial_weights_of(settings)
    train, evaluate = plain["train"], plain["evaluate"]
    config_digest, changes = _course(settings)
    fetch_into = settings.data.cache.local_path
    return TrainJob(
        run_dir=str(run_dir),
        prepared_dir=str(dataset.path),
        model=plain["model"],
        init_from=None if path is None else {**wanted, "path": str(path)},
        freeze=train["freeze"] or [],
        lr_by_name=train["lr_by_name"] or {},
        seed=settings.seed,
        loss=train["loss"],
        step=train["step"],
        optimizer=train["optimizer"],
        lr_schedule=train["lr_schedule"],
        epochs=train["epochs"],
        steps=train["steps"],
        global_batch_size=train["global_batch_size"],
        logical_shards=train["logical_shards"],
        reduction=train["reduction"],
        strategy=train["strategy"],
        ingest=plain["data"]["ingest"],
        threads=train["threads_per_worker"],
        gradient_clip_norm=train["gradient_clip_norm"],
        changes=changes,
        precision=train["precision"],
        on_spike=train["on_spike"],
        ema=train["ema"],
        activation_checkpointing=train["activation_checkpointing"],
        compile=train["compile"],
        profile=train["profile"],
        max_time_s=train["max_time_s"],
        metrics=evaluate["metrics"],
        evaluate_every_epochs=evaluate["every_epochs"],
        evaluate_every_steps=evaluate["every_steps"],
        early_stopping=train["early_stopping"],
        restore_best=bool(train["restore_best"]),
        checkpoint_every_s=train["checkpoint"]["every_s"],
        checkpoint_every_steps=train["checkpoint"]["every_steps"],
        checkpoint_keep=train["checkpoint"]["keep"],
        ledger=train["ledger"],
        record_every_steps=settings.track.every_steps,
        system_metrics_every_s=settings.track.system_metrics_every_s,
        source_files=[asdict(file) for file in streamed_files(dataset)],
        fetch_into=fetch_into and expand_env(fetch_into),
        fetch_max_bytes=settings.data.cache.max_bytes,
        loader_workers=settings.data.loader_workers,
        data_digest=dataset.digest,
        config_digest=config_digest,
    )


def _course(settings: Settings) -> tuple[str, list[dict[str, Any]]]:
    """Return the digest of a run's first part, and what changes after it, as a job holds them."""
    parts = [
        {
            "step": step,
            "optimizer": values["train"]["optimizer"],
            "gradient_clip_norm": values["train"]["gradient_clip_norm"],
            "dropout": values["model"].get("dropout"),
            "config_digest": steps_digest(so_far),
        }
        for step, values, so_far in parts_of(settings)
    ]
    return parts[0]["config_digest"], parts[1:]
