"""A worker process: set up once, then run tasks until told to quit.

Started as ``python -m ecoautoml.executors.worker FD``, where FD is its end of a pipe. It is not a
``multiprocessing`` child, because such a child would run the user's own script again. Heavy
imports happen inside functions, after this process has learnt to ignore Ctrl-C and to die with its
parent: they take seconds.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import threading
import time
import traceback
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

ORPHAN_CHECK_S = 0.5
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of mallopt(3)."""
IMAGE_CACHE_BYTES = 2 * 2**30
"""Images kept in memory at most; those at their stored size are shared through the page cache."""


def main() -> None:
    """Connect to the main process and serve it."""
    for number in (signal.SIGINT, signal.SIGTERM):  # the main process's to handle
        signal.signal(number, signal.SIG_IGN)
    _die_with_parent()
    _keep_freed_memory()
    with Connection(int(sys.argv[1])) as connection:
        try:
            _serve(connection)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return  # the main process is gone; there is nobody left to tell


def _die_with_parent() -> None:
    """End this process when the main process dies, even by SIGKILL."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(ORPHAN_CHECK_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _keep_freed_memory() -> None:
    """Let the C library's allocator keep large blocks that were freed, for the next step.

    Its habit is to give every large block back to the system at once. A training step then takes
    each of its activations from the system anew, page by page, which was a third of the time of
    small networks (`benchmarks/allocator.py`). What a trial has freed is given back at its end.
    """
    mallopt = _libc("mallopt")
    if mallopt is not None:
        _ = mallopt(M_MMAP_THRESHOLD, 2**30) or mallopt(M_MMAP_THRESHOLD, 2**25)  # older: 32 MiB
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def _give_back_memory() -> None:
    trim = _libc("malloc_trim")
    if trim is not None:
        trim(0)


def _libc(name: str) -> Any:
    """Return a function of the GNU C library, None where there is another one."""
    try:
        return getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError, TypeError):
        return None


def _serve(connection: Connection) -> None:
    from ecoautoml.executors.messages import Quit, RunTrial, TaskFailed, WorkerSetup

    setup = connection.recv()
    assert isinstance(setup, WorkerSetup)
    try:
        parts, ready = _set_up(setup)
    except Exception as error:  # noqa: BLE001  (told to the main process, which raises it)
        connection.send(TaskFailed(reason=str(error), details=traceback.format_exc()))
        return
    connection.send(ready)
    while not isinstance(message := connection.recv(), Quit):
        if isinstance(message, RunTrial):
            connection.send(_run_trial(message.job, parts, connection))
            _give_back_memory()
        else:
            answer = _answer(message, parts)
            if answer is not None:
                connection.send(answer)


def _set_up(setup: Any) -> tuple[Any, Any]:
    """Import what is heavy, limit memory, and build the parts trials share."""
    import torch

    from ecoautoml.data.tensors import TensorCache
    from ecoautoml.energy.select import open_meters
    from ecoautoml.executors.messages import Ready
    from ecoautoml.trial.parts import TrialParts

    if setup.target.startswith("cuda"):
        torch.cuda.set_device(setup.target)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    import ecoautoml.trial.run  # noqa: F401  (timm and the runtime, once per worker)

    _check_runtimes(setup.runtimes, setup.target)
    if setup.memory_bytes is not None:
        _limit_memory(setup.memory_bytes + _mapped_bytes(setup.prepared))
    config = setup.config
    parts = TrialParts(
        config=config,
        prepared=setup.prepared,
        images=TensorCache(setup.prepared, _cache_bytes(setup.memory_bytes)),
        open_meters=partial(open_meters, config.measure.meter, setup.target, idle_w=setup.idle_w),
        target=setup.target,
        device=setup.target if torch.cuda.is_available() else "cpu",
        models_folder=setup.models_folder,
        paused_folder=setup.paused_folder,
    )
    return parts, Ready()


def _check_runtimes(names: tuple[str, ...], target: str) -> None:
    """Refuse a space that names a runtime which cannot run on the target."""
    from ecoautoml.errors import SpaceError
    from ecoautoml.runtimes import AUTO, RUNTIMES, default_runtime

    for name in names:
        member = RUNTIMES.get(default_runtime(target) if name == AUTO else name)
        why = member.why_unavailable(target)
        if why is not None:
            raise SpaceError(f"the space's runtime {name} cannot be used: {why}; use auto")


def _cache_bytes(limit_bytes: int | None) -> int:
    return IMAGE_CACHE_BYTES if limit_bytes is None else min(IMAGE_CACHE_BYTES, limit_bytes // 3)


def _mapped_bytes(prepared: Any) -> int:
    """Return the bytes of images mapped from files.

    They count against the limit, though the page cache holds them once for all workers.
    """
    pixels = prepared.channels * prepared.image_size**2
    return int(sum(prepared.counts.values()) * pixels)


def _limit_memory(limit_bytes: int) -> None:
    """Make allocations beyond the limit fail inside this process, where they can be told apart.

    Data segments only: PyTorch reserves far more address space than it ever uses.
    """
    resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, limit_bytes))


def _run_trial(job: Any, parts: Any, connection: Connection) -> Any:
    from ecoautoml.records.progress import Action, Decision, Progress
    from ecoautoml.trial.parts import Messenger, TrialStoppedError
    from ecoautoml.trial.run import run_trial

    def report(progress: Progress) -> Decision:
        connection.send(progress)
        return receive()

    def receive() -> Decision:
        decision = connection.recv()
        assert isinstance(decision, Decision)
        return decision

    def check() -> None:
        if connection.poll() and (decision := receive()).action is not Action.CONTINUE:
            raise TrialStoppedError(decision)

    return run_trial(job, parts, Messenger(report=report, check=check))


def _answer(message: Any, parts: Any) -> Any:
    """Return the answer to a task, None for a leftover decision of a trial that has ended."""
    from ecoautoml.executors.messages import LookAheadAt, MeasureInTurn, ScoreOnTest, TaskFailed
    from ecoautoml.trial.final import look_ahead, measure_front, test_scores

    try:
        if isinstance(message, ScoreOnTest):
            return test_scores(message.candidates, parts)
        if isinstance(message, MeasureInTurn):
            return measure_front(message.candidates, parts)
        if isinstance(message, LookAheadAt):
            return look_ahead(message.candidates, parts)
    except Exception as error:  # noqa: BLE001  (told to the main process)
        reason = f"{type(error).__name__}: {error}"
        return TaskFailed(reason=reason, details=traceback.format_exc())
    return None


if __name__ == "__main__":
    main()
