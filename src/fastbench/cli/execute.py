"""From a configuration to output and an exit code: what every command that measures does."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from fastbench.errors import EXIT_INTERRUPTED, EXIT_OK, EXIT_RUN

if TYPE_CHECKING:
    from fastbench.cli.gather import Given
    from fastbench.config import RunConfig
    from fastbench.results import Result


def execute(config: RunConfig, given: Given) -> int:
    """Run, print the result in the format that was asked for, and return the exit code."""
    from fastbench import runner
    from fastbench.report.formats import check_format, print_result

    check_format(given.values["output_format"])
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # it then ends as Ctrl-C does
    result = runner.run(config, show=not given.values["quiet"])
    print_result(result, given.values["output_format"])
    if result.status == "interrupted":
        return EXIT_INTERRUPTED
    return EXIT_OK if _is_good(result) else EXIT_RUN


def _is_good(result: Result) -> bool:
    """Tell whether the run was complete, something succeeded and all sampled answers were right."""
    checks = [r.verification for r in result.repetitions if r.verification]
    right = all(check.checked and not check.mismatches for check in checks)
    return result.status == "complete" and result.summary is not None and right
