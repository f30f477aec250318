"""What a search leaves behind when it is killed: its ledger, as it was before every write."""

from contextlib import contextmanager

from sqlalchemy import event
from sqlalchemy.engine import Engine


class Copies:
    """Copies of a database that a process keeps writing to, one for each time it was different.

    Args:
        file: The database.
        folder: Where the copies go, each into a folder of its own.
    """

    def __init__(self, file, folder):
        self.moment = None
        self.taken = []
        self._file, self._folder, self._last = file, folder, b""

    def take(self, *_):
        """Keep a copy, unless nothing was written since the last one."""
        now = self._file.read_bytes()
        if now != self._last:
            folder = self._folder / f"{len(self.taken):03d}"
            folder.mkdir(parents=True)
            (folder / self._file.name).write_bytes(now)
            self.taken.append((folder, self.moment))
            self._last = now


@contextmanager
def every_write(file, folder):
    """Copy a database before each of its transactions: what a kill may leave behind.

    The caller says what moment it is; every copy is kept with it.
    """
    copies = Copies(file, folder)

    def before_commit(connection):
        if connection.engine.url.database == str(file):
            copies.take()

    event.listen(Engine, "commit", before_commit)
    try:
        yield copies
        copies.take()
    finally:
        event.remove(Engine, "commit", before_commit)
