"""Who runs, told by a lock rather than by a process id alone: a lock goes with its process, however that ended."""

import fcntl
from pathlib import Path


class PidLock:
    """A file that one process holds and that names it. It passes on to a child with the file descriptor."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+")

    def acquire(self) -> bool:
        """Take the lock, unless somebody has it."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def name(self, pid: int) -> None:
        """Write down who holds the lock."""
        self._file.truncate(0)
        self._file.write(str(pid))
        self._file.flush()

    def fileno(self) -> int:
        """For the child that is to hold the lock."""
        return self._file.fileno()

    def close(self) -> None:
        """Let go. A child that was given the lock still holds it."""
        self._file.close()


def holder(path: Path) -> int | None:
    """The process that holds this lock, None when it is free."""
    if not path.exists():
        return None
    lock = PidLock(path)
    try:
        return None if lock.acquire() else int(path.read_text() or 0)
    finally:
        lock.close()
