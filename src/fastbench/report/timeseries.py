"""``timeseries.csv``: one row per interval, the columns named as in ``result.json``."""

from __future__ import annotations

import csv
import io

from fastbench.report.base import Exporter
from fastbench.results import Interval, Result

FIELDS = tuple(name for name in Interval.__struct_fields__ if name != "histogram")


def render(result: Result) -> bytes:
    """Return the time series of all repetitions; an empty cell means that there is no value."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("repetition", *FIELDS))
    for repetition in result.repetitions:
        for interval in repetition.timeseries:
            writer.writerow((repetition.index, *(getattr(interval, name) for name in FIELDS)))
    return text.getvalue().encode()


EXPORTER = Exporter("timeseries.csv", render)
