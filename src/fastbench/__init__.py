"""fastbench: a benchmark client for AI model servers that judges its own part in the result.

``fastbench.run(fastbench.RunConfig(target="redisai://127.0.0.1:6379", threads=4))`` returns a
:class:`fastbench.results.Result`.
"""

from __future__ import annotations

from importlib.metadata import version as _version
from typing import TYPE_CHECKING

from fastbench.config import CommandConfig, RunConfig, TlsConfig
from fastbench.errors import FastbenchError

if TYPE_CHECKING:
    from fastbench.results import Result

__version__ = _version("fastbench")
__all__ = ["CommandConfig", "FastbenchError", "RunConfig", "TlsConfig", "__version__", "run"]


def run(config: RunConfig, *, show: bool = False) -> Result:
    """Benchmark ``config.target``: see :func:`fastbench.runner.run`."""
    from fastbench import runner

    return runner.run(config, show=show)
