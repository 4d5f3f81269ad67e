"""Many independent tasks: in this process, or on a Dask cluster."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import uuid4

from napari_surgisam.errors import JobError, SurgisamError
from napari_surgisam.jobs import Event

LOG = logging.getLogger(__name__)

LOST_WORKERS = 3
"""How many workers a task may lose before it is given up."""

PATIENCE = "30s"
"""How long a scheduler may take to answer."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDone(Event):
    """A task has its result.

    Parameters
    ----------
    name : str
    result : object
    """

    name: str
    result: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFailed(Event):
    """A task cannot be done; the others go on."""

    name: str
    reason: str


Tasks = Generator[TaskDone | TaskFailed, None, None]


def run_tasks(
    work: Callable[[T], object], tasks: Mapping[str, T], scheduler: str | None = None
) -> Tasks:
    """Do some work on each task; every task ends in exactly one event.

    Parameters
    ----------
    work : callable
        Of a module, so that other processes find it; without a scheduler any callable.
    tasks : mapping of str to object
        By name.
    scheduler : str, optional
        Address of a Dask scheduler; or ``local`` or ``local:N`` for a cluster of N processes
        on this machine (as many as GPUs, else 2). Without one, tasks run in this process.

    Yields
    ------
    TaskDone or TaskFailed
        In the order in which they end. Closing the generator cancels what has not begun.

    Raises
    ------
    JobError
        If there is no such cluster, or it was lost.
    """
    if scheduler is None:
        yield from _in_process(work, tasks)
    else:
        yield from _on_cluster(work, tasks, scheduler)


def _in_process(work: Callable[[T], object], tasks: Mapping[str, T]) -> Tasks:
    for done, (name, task) in enumerate(tasks.items(), start=1):
        try:
            result = work(task)
        except Exception as error:
            yield TaskFailed(done=done, total=len(tasks), name=name, reason=reason_of(error))
        else:
            yield TaskDone(done=done, total=len(tasks), name=name, result=result)


def _on_cluster(work: Callable[[T], object], tasks: Mapping[str, T], scheduler: str) -> Tasks:
    try:
        import dask
        from distributed import Client, as_completed
    except ImportError as error:
        raise JobError(
            "A scheduler needs dask.distributed: pip install 'napari-surgisam[cluster]'."
        ) from error
    with ExitStack() as open_:
        open_.enter_context(
            dask.config.set({"distributed.scheduler.allowed-failures": LOST_WORKERS})
        )
        try:
            address = _local_cluster(scheduler, open_) or scheduler
            client = open_.enter_context(Client(address, timeout=PATIENCE, set_as_default=False))
        except (OSError, ValueError, TimeoutError) as error:
            raise JobError(
                f"There is no Dask scheduler at {scheduler}: {error}. Start one with dask "
                "scheduler, or use local:N for processes on this machine."
            ) from error
        token = uuid4().hex  # results of an earlier run are not taken for this one's
        futures = {
            client.submit(work, task, key=f"surgisam-{token}-{number}", pure=False): name
            for number, (name, task) in enumerate(tasks.items())
        }
        open_.callback(client.cancel, list(futures))
        ended: set[str] = set()
        for future in as_completed(list(futures), loop=client.loop):
            name = futures[future]
            if name in ended:
                continue
            ended.add(name)
            count = {"done": len(ended), "total": len(tasks)}
            if future.status == "finished":
                yield TaskDone(**count, name=name, result=future.result())
            else:
                yield TaskFailed(**count, name=name, reason=reason_of(_error_of(future)))


def _local_cluster(scheduler: str, open_: ExitStack) -> Any:
    """Start a cluster on this machine if one is asked for."""
    kind, _, number = scheduler.partition(":")
    if kind != "local":
        return None
    from distributed import LocalCluster

    try:
        workers = int(number) if number else _device_count() or 2
        if workers < 1:
            raise ValueError
    except ValueError:
        raise JobError(
            f"Cannot start the cluster {scheduler!r}: write local or local:N, with N processes."
        ) from None
    # One task at a time in each: a network fills its device by itself.
    return open_.enter_context(
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            memory_limit=0,
            silence_logs=logging.CRITICAL,  # what failed is said once, without its traceback
        )
    )


def _device_count() -> int:
    import torch

    return torch.cuda.device_count()


def _error_of(future: Any) -> BaseException:
    error = future.exception()
    return error if isinstance(error, BaseException) else JobError("The task was cancelled.")


def reason_of(error: BaseException) -> str:
    """Return why a task failed, in words for its user; what is unexpected goes to the log."""
    if isinstance(error, SurgisamError):
        return str(error)
    if type(error).__name__ == "KilledWorker":
        return f"It took down its process {LOST_WORKERS + 1} times, perhaps for want of memory."
    LOG.error("A task stopped with an unexpected error", exc_info=error)
    return f"The computation stopped: {type(error).__name__}: {error}."
