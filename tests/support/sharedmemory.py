"""What a server does with regions of system shared memory, by the C library's own ``shm_open``."""

from __future__ import annotations

import mmap
import os
import threading
from _posixshmem import shm_open


class Regions:
    """The regions that a server has opened; ``busy``: how often it refuses to forget one."""

    def __init__(self, busy: int = 0) -> None:
        self.busy = busy
        self.seen: list[str] = []
        self.reads = 0
        self.last: dict[str, bytes] = {}  # what lay in those that are forgotten
        self._open: dict[str, mmap.mmap] = {}
        self._lock = threading.Lock()

    @property
    def held(self) -> list[str]:
        """Return the names of those that are open."""
        return [*self._open]

    def register(self, name: str, key: str, size: int) -> None:
        """Open one. Raises :class:`OSError` where there is none, or it is shorter."""
        fd = shm_open(key, os.O_RDWR, mode=0o600)
        try:
            self._open[name] = mmap.mmap(fd, size)
        finally:
            os.close(fd)
        self.seen.append(name)

    def unregister(self, name: str) -> bool:
        """Forget one; tells whether it does, and nothing is forgotten that is not there."""
        if self.busy:
            self.busy -= 1
            return False
        found = self._open.pop(name, None)
        if found is not None:
            self.last[name] = found[:]
            found.close()
        return True

    def read(self, name: str, offset: int, size: int) -> bytes:
        """Return bytes of one."""
        with self._lock:
            self.reads += 1
        return self._open[name][offset : offset + size]

    def write(self, name: str, offset: int, data: bytes) -> None:
        """Put bytes into one."""
        region = self._open[name]
        assert offset + len(data) <= len(region)
        region[offset : offset + len(data)] = data
