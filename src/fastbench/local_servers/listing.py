"""What ``fastbench servers list`` shows of a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastbench.local_servers.control import Status
    from fastbench.local_servers.state import Running

INDENT = " " * 12


def lines_of(status: Status) -> Iterator[str]:
    """Yield the lines of a server: what it is, how it stands with it, its targets."""
    yield f"{status.server.name:<12}{status.server.about}"
    installed, running = status.installed, status.running
    size = f"installed, {installed.size_bytes / 1e6:,.0f} MB" if installed else "not installed"
    yield f"{INDENT}{size}; {_state_of(running)}"
    for target in running.targets if running and running.ready else ():
        yield f"{INDENT}{target}"


def _state_of(running: Running | None) -> str:
    if running is None:
        return "not running"
    ports = ", ".join(f"{name} {port}" for name, port in running.ports.items())
    return f"{'runs' if running.ready else 'starting'}, pid {running.pid}, ports {ports}"
