"""What is wrong between values that are each right by themselves. Every check is listed here."""

import re
from collections.abc import Callable, Iterator

from distrain.config.checks_course import course_faults
from distrain.config.checks_data import check_columns, check_read, check_split, check_task
from distrain.config.checks_dataset import check_dataset, check_step
from distrain.config.checks_env import check_env
from distrain.config.checks_metrics import (
    check_asked_metrics,
    check_gate,
    check_goals,
    check_steering,
)
from distrain.config.checks_space import check_space
from distrain.config.checks_tune import check_tune
from distrain.config.environment import expand_env
from distrain.config.faults import Fault, KeyPath, dotted
from distrain.config.model import CnnSettings
from distrain.config.names import RESERVED_ALIAS, is_remote, is_uri
from distrain.config.settings import EITHER_OR, Settings
from distrain.config.train import ElasticWorkers, OptimizerTarget, SgdSettings
from distrain.errors import ConfigError
from distrain.object_store.place import Place
from distrain.run_folder import RESERVED_RUN_NAMES

_ADDRESS = re.compile(r"auto|local|(\[[0-9A-Fa-f:]+\]|[^\s:/]+):[0-9]{1,5}")


def check(settings: Settings) -> list[Fault]:
    """Return every fault between values, before defaults that depend on others are resolved.

    Args:
        settings: values that are each valid by themselves.
    """
    faults = check_run(settings)
    if settings.tune is not None:
        faults += [*check_tune(settings), *check_space(settings, check_run)]
    return faults


def check_run(settings: Settings) -> list[Fault]:
    """Return every fault between the values of one run; `tune` is not looked at."""
    return [fault for one in _CHECKS for fault in one(settings)]


def _check_either_or(settings: Settings) -> Iterator[Fault]:
    for first, second in EITHER_OR:
        values = [_value_at(settings, path) for path in (first, second)]
        if None not in values:
            yield Fault(
                f"{'.'.join(map(str, second))} = {values[1]} stands beside "
                f"{'.'.join(map(str, first))} = {values[0]}; only one of them can hold",
                (second, first),
                mend=f"Leave out {first[-1]} or {second[-1]}",
            )


def _value_at(settings: Settings, path: KeyPath) -> object:
    value: object = settings
    for key in path:
        value = getattr(value, str(key))
    return value


def _check_batch(settings: Settings) -> Iterator[Fault]:
    batch, shards = settings.train.global_batch_size, settings.train.logical_shards
    if batch % shards:
        below, above = batch - batch % shards, batch - batch % shards + shards
        multiples = f"{below} or {above}" if below else f"{above}"
        yield Fault(
            f"train.global_batch_size = {batch} cannot be cut into logical_shards = {shards} "
            "equal parts",
            (("train", "global_batch_size"), ("train", "logical_shards")),
            mend=f"Use a multiple of {shards}, e.g. {multiples}",
        )


def _check_workers(settings: Settings) -> Iterator[Fault]:
    asked, shards = settings.train.num_workers, settings.train.logical_shards
    workers = asked.max if isinstance(asked, ElasticWorkers) else asked
    if isinstance(asked, ElasticWorkers) and asked.min > asked.max:
        yield Fault(
            f"train.num_workers.min = {asked.min} is more than its max = {asked.max}",
            (("train", "num_workers", "min"), ("train", "num_workers", "max")),
            mend="Name the smaller number first",
        )
    if workers != "auto" and workers > shards:
        yield Fault(
            f"train.num_workers = {workers} is more than logical_shards = {shards}, and each "
            "worker needs a part of the batch",
            (("train", "num_workers"), ("train", "logical_shards")),
            mend=f"Use at most {shards} workers, or logical_shards = {workers} (which changes the "
            "bits of the result)",
        )


def _check_gpu(settings: Settings) -> Iterator[Fault]:
    gpu = settings.train.resources_per_worker.gpu
    if gpu != "auto" and gpu > 1 and gpu != int(gpu):
        yield Fault(
            f"train.resources_per_worker.gpu = {gpu:g} is neither a whole number nor below 1",
            (("train", "resources_per_worker", "gpu"),),
            mend="Ray gives a worker a part of one GPU, or whole ones: use 1 or 0.5, for example",
        )


def _check_optimizer(settings: Settings) -> Iterator[Fault]:
    train = settings.train
    warmup_steps = getattr(train.lr_schedule, "warmup_steps", 0)
    if train.steps is not None and warmup_steps >= train.steps:
        yield Fault(
            f"train.lr_schedule.warmup_steps = {warmup_steps} is not less than train.steps = "
            f"{train.steps}, so the rate would never be reached",
            (("train", "lr_schedule", "warmup_steps"), ("train", "steps")),
            mend="Warm up for a tenth of the steps or less",
        )
    optimizer = train.optimizer
    if isinstance(optimizer, SgdSettings) and optimizer.nesterov and optimizer.momentum == 0:
        here = ("train", "optimizer")
        yield Fault(
            "train.optimizer.nesterov = true needs a momentum above 0",
            ((*here, "nesterov"), (*here, "momentum")),
            mend="Set momentum, e.g. 0.9, or leave nesterov out",
        )


def _check_own_optimizer(settings: Settings) -> Iterator[Fault]:
    train = settings.train
    if isinstance(train.optimizer, OptimizerTarget) and train.strategy == "fsdp":
        yield Fault(
            "train.optimizer.target stands beside train.strategy = fsdp, which would give it "
            "shares of parameters",
            (("train", "optimizer", "target"), ("train", "strategy")),
            mend="Use strategy: ddp, or an optimizer by name",
        )


def _check_course(settings: Settings) -> Iterator[Fault]:
    yield from course_faults(settings, check_run)


def _check_model(settings: Settings) -> Iterator[Fault]:
    model = settings.model
    if isinstance(model, CnnSettings) and model.kernel_size % 2 == 0:
        size = model.kernel_size
        yield Fault(
            f"model.kernel_size = {size} is even, so a kernel would have no middle",
            (("model", "kernel_size"),),
            mend=f"Use {size - 1} or {size + 1}",
        )


def _check_backward(settings: Settings) -> Iterator[Fault]:
    if settings.train.compile and settings.train.activation_checkpointing:
        yield Fault(
            "train.compile = true stands beside train.activation_checkpointing = true; torch "
            "compiles no blocks that put their buffers back",
            (("train", "compile"), ("train", "activation_checkpointing")),
            mend="Leave out one of them",
        )
    if settings.train.compile and settings.train.strategy == "fsdp":
        yield Fault(
            "train.compile = true stands beside train.strategy = fsdp; a compiled model cannot be "
            "taken apart and put together between its blocks",
            (("train", "compile"), ("train", "strategy")),
            mend="Leave compile out, or use strategy: ddp",
        )


def _check_rates(settings: Settings) -> Iterator[Fault]:
    if settings.train.lr_by_name and settings.train.strategy == "fsdp":
        yield Fault(
            "train.lr_by_name stands beside train.strategy = fsdp, whose workers update shares of "
            "whole blocks at one rate",
            (("train", "lr_by_name"), ("train", "strategy")),
            mend="Leave lr_by_name out, or use strategy: ddp",
        )


def _check_names(settings: Settings) -> Iterator[Fault]:
    if settings.name.lower() in RESERVED_RUN_NAMES:
        yield Fault(
            f"name = {settings.name!r} is reserved: distrain keeps something else below storage "
            "under that name",
            (("name",),),
            mend="Add another: `name: ...` (without it, the file's name counts)",
        )
    alias = settings.track.register_.alias
    if alias is not None and RESERVED_ALIAS.fullmatch(alias):
        yield Fault(
            f"track.register.alias = {alias!r} is reserved by MLflow",
            (("track", "register", "alias"),),
            mend="Use another, such as champion",
        )


def _check_folders(settings: Settings) -> Iterator[Fault]:
    folder, path = settings.data.cache.local_path, ("data", "cache", "local_path")
    if is_uri(_expanded(folder) or ""):
        yield Fault(
            f"{dotted(path)} = {folder!r} is a URI",
            (path,),
            expected="a local path, or one that every node sees",
            mend="Mount the storage and name its path",
        )


def _check_storage(settings: Settings) -> Iterator[Fault]:
    storage = _expanded(settings.storage) or ""
    if not is_uri(storage):
        return
    try:
        Place.parse(storage)
    except ConfigError as fault:
        told = f"storage = {settings.storage!r}: {fault.message}"
        yield Fault(told, (("storage",),), expected=fault.expected, mend=fault.mend)
        return
    if settings.train.strategy == "fsdp":
        yield Fault(
            "train.strategy = fsdp stands beside a storage that is an object store; its workers "
            "write their shares into one folder",
            (("train", "strategy"), ("storage",)),
            mend="Name a folder that all nodes see: storage=PATH; or use strategy: ddp",
        )


def _check_cache(settings: Settings) -> Iterator[Fault]:
    cache = settings.data.cache
    is_below_storage = cache.path is None
    if is_remote(_expanded(settings.storage if is_below_storage else cache.path) or ""):
        return
    for key in ("local_path", "max_bytes"):
        if getattr(cache, key) is not None:
            yield Fault(
                f"data.cache.{key} has no effect where data.cache.path is a folder: nothing is "
                "fetched",
                (("data", "cache", key), ("data", "cache", "path")),
                mend=f"Leave {key} out, or set data.cache.path to a URI such as s3://bucket/folder",
            )


def _expanded(text: str | None) -> str | None:
    try:
        return expand_env(text) if text is not None else None
    except ConfigError:
        return None  # told with its line by `environment.text_faults`


def _check_address(settings: Settings) -> Iterator[Fault]:
    expanded = _expanded(settings.cluster.address)
    if expanded is not None and not _ADDRESS.fullmatch(expanded):
        yield Fault(
            f"cluster.address is {expanded!r}",
            (("cluster", "address"),),
            expected="auto, local or HOST:PORT",
            mend="Name the head node's own port, usually 6379"
            if "://" in expanded
            else "The port is usually 6379",
        )


_CHECKS: tuple[Callable[[Settings], Iterator[Fault]], ...] = (
    _check_names,
    check_dataset,
    check_step,
    check_columns,
    check_task,
    check_split,
    check_read,
    _check_model,
    _check_either_or,
    _check_batch,
    _check_workers,
    _check_gpu,
    _check_optimizer,
    _check_own_optimizer,
    _check_course,
    _check_backward,
    _check_rates,
    check_steering,
    check_asked_metrics,
    check_goals,
    check_gate,
    check_env,
    _check_folders,
    _check_storage,
    _check_cache,
    _check_address,
)
