"""Workloads: dataset + model + what one inference sends, made ready as a job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastbench.workloads import command, vision

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from fastbench.config import RunConfig
    from fastbench.job import Job

#: By ``RunConfig.workload``: what makes a job of a configuration.
OPEN: dict[str, Callable[[RunConfig], AbstractContextManager[Job]]] = {
    "vision": vision.open_job,
    "command": command.open_job,
}
