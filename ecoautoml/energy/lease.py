"""One metered block per device at a time, across processes."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from ecoautoml.errors import MeterError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

POLL_S = 0.01


def lease_path(device: str) -> Path:
    """Return the lock file of a device ("cpu", "cuda:0", "gpu:UUID") on this machine.

    It lies in the system's temporary directory: processes that see different ones (containers,
    another ``TMPDIR``) do not know of each other.
    """
    return Path(tempfile.gettempdir()) / f"ecoautoml-{re.sub(r'[^A-Za-z0-9.-]+', '_', device)}.lock"


class DeviceLease:
    """Holds a device for as long as its block runs; waits until others are done.

    The lock is the kernel's, on an open file: it ends with the process that holds it, however that
    ends. A child forked inside the block shares it and keeps it until it ends, too. Not reentrant:
    a second lease of the same path waits, in the same process as well.

    Args:
        path: The lock file, see `lease_path`; made when it is not there, and left in place.
        timeout_s: Seconds to wait at most; None: as long as it takes.
    """

    def __init__(self, path: Path, timeout_s: float | None = None) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        descriptor = _open(self._path)
        try:
            self._wait(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._descriptor is not None:
            _unlock(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None

    def _wait(self, descriptor: int) -> None:
        deadline_s = None if self._timeout_s is None else time.monotonic() + self._timeout_s
        while not _try_lock(descriptor):
            if deadline_s is not None and time.monotonic() >= deadline_s:
                raise MeterError(
                    f"another process still measures on this device after {self._timeout_s:g} s "
                    f"({self._path}); wait for it, or end it"
                )
            time.sleep(POLL_S)


def _open(path: Path) -> int:
    # Opening for creation a file that another user owns is refused in shared temporary
    # directories (fs.protected_regular), so an existing file is opened plainly first.
    flags = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        return os.open(path, flags)
    except FileNotFoundError:
        descriptor = os.open(path, flags | os.O_CREAT, 0o666)
    if hasattr(os, "fchmod"):
        with contextlib.suppress(PermissionError):  # another user made it in this very moment
            os.fchmod(descriptor, 0o666)  # whatever the umask: other users measure here, too
    return descriptor


if sys.platform == "win32":

    def _try_lock(descriptor: int) -> bool:
        try:
            os.lseek(descriptor, 0, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
