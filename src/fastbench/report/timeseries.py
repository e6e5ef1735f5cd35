"""``timeseries.csv``: one row per interval, the columns named as in ``result.json``.

With several streams the rows of all together, with an empty ``stream``, are followed by those of
each.
"""

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
    writer.writerow(("repetition", "stream", *FIELDS))
    for repetition in result.repetitions:
        parts = [("", repetition.timeseries), *((s.name, s.timeseries) for s in repetition.streams)]
        for stream, intervals in parts:
            for interval in intervals:
                values = (getattr(interval, name) for name in FIELDS)
                writer.writerow((repetition.index, stream, *values))
    return text.getvalue().encode()


EXPORTER = Exporter("timeseries.csv", render)
