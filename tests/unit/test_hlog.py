"""latency.hlog, read by the hdrhistogram package and by Java's HdrHistogram."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader
from support.sample_result import INTERVALS, repetition, result

from fastbench import latency
from fastbench.report import hgrm, hlog
from fastbench.results import QUANTILES

JAR = Path("/usr/share/java/hdrhistogram.jar")

needs_java = pytest.mark.skipif(
    shutil.which("java") is None or not JAR.exists(),
    reason="needs java and Debian's libhdrhistogram-java",
)


def java_percentiles(tmp_path: Path, log: bytes) -> list[tuple[float, float, int]]:
    """Return (value in ms, fraction, count) of each line that Java's log processor prints."""
    source, target = tmp_path / "latency.hlog", tmp_path / "java"
    source.write_bytes(log)
    command = ["java", "-cp", str(JAR), "org.HdrHistogram.HistogramLogProcessor"]
    command += ["-i", str(source), "-o", str(target), "-percentilesOutputTicksPerHalf", "100"]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    lines = target.with_suffix(".hgrm").read_text().splitlines()
    rows = [line.split() for line in lines if line.strip() and line.strip()[0].isdigit()]
    return [(float(row[0]), float(row[1]), int(row[2])) for row in rows]


def test_header() -> None:
    """The header names the format and the start of the first repetition, as the format has it."""
    lines = hlog.render(result()).decode().splitlines()

    assert "#[Histogram log format version 1.3]" in lines
    assert "#[StartTime: 1767323050.250 (seconds since epoch), 2026-01-02 03:04:10.250+00:00]" in (
        lines
    )
    assert lines[3] == hlog.LEGEND


def test_time_stamps_run_over_all_repetitions() -> None:
    """Intervals follow each other over repetitions, at their distance from the first."""
    lines = hlog.render(result()).decode().splitlines()[4:]
    starts = [float(line.split(",")[0]) for line in lines]

    assert starts == [10.0 * r + i for r in range(3) for i in range(INTERVALS)]
    assert {line.split(",")[1] for line in lines} == {"1.000000"}


def test_clock_set_back_between_repetitions() -> None:
    """Time stamps never run backwards, though the wall clock may."""
    early = msgspec.structs.replace(repetition(2), started_at="2026-01-02T03:00:00+00:00")
    lines = hlog.render(result(repetition(1), early)).decode().splitlines()[4:]
    starts = [float(line.split(",")[0]) for line in lines]

    assert starts == sorted(starts)
    assert len(set(starts)) == 2 * INTERVALS


def test_repetition_without_time_series_is_one_interval() -> None:
    """No latency is missing from the log where there are no intervals."""
    bare = msgspec.structs.replace(repetition(1), timeseries=[])
    lines = hlog.render(result(bare)).decode().splitlines()[4:]

    assert len(lines) == 1
    assert np.array_equal(
        latency.decode(lines[0].split(",")[3]), latency.decode(bare.response_ms.histogram)
    )


def test_hdrhistogram_package_reads_it(tmp_path: Path) -> None:
    """The package's own reader finds all samples and the start time."""
    path = tmp_path / "latency.hlog"
    path.write_bytes(hlog.render(result()))
    total = HdrHistogram(latency.LOWEST_NS, latency.HIGHEST_NS, latency.DIGITS)
    reader = HistogramLogReader(str(path), total)
    intervals = 0
    while reader.add_next_interval_histogram(total):
        intervals += 1
    reader.close()

    assert intervals == 3 * INTERVALS
    assert total.get_total_count() == 12_000
    assert reader.get_start_time_sec() == pytest.approx(1767323050.25)


@needs_java
def test_java_reads_the_same_distribution(tmp_path: Path) -> None:
    """Java's log processor and our latency.hgrm agree line by line on the merged log."""
    data = result(repetition(1), repetition(2, timeouts=3))
    theirs = java_percentiles(tmp_path, hlog.render(data))
    merged = latency.merge(r.response_ms.histogram for r in data.repetitions)
    ours = list(hgrm.distribution(merged))

    assert len(ours) == len(theirs)
    for (value_ns, fraction, count), (value_ms, their_fraction, their_count) in zip(
        ours, theirs, strict=True
    ):
        assert value_ns / 1e6 == pytest.approx(value_ms, abs=6e-4)
        assert fraction == pytest.approx(their_fraction, abs=1e-9)
        assert count == their_count


@needs_java
def test_java_agrees_on_the_quantiles_of_result_json(tmp_path: Path) -> None:
    """The quantiles in result.json are those that Java reads from the log of the same run."""
    data = result(repetition(1))
    theirs = java_percentiles(tmp_path, hlog.render(data))

    for name in ("p25", "p50", "p75", "p90", "p95", "p99", "p999"):
        rank = latency.rank_of(QUANTILES[name], 4000)
        value_ms = next(value for value, _, count in theirs if count >= rank)
        assert getattr(data.repetitions[0].response_ms, name) == pytest.approx(value_ms, abs=6e-4)
