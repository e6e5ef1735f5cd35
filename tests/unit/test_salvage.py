"""A killed run's journal becomes a result: exact where it was measured, silent where it was not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from support.journals import BEGIN, HEAD, fill
from support.sample_result import latency_of, repetition, result, samples_ns

from fastbench.errors import UsageError
from fastbench.journal import Begin, Journal
from fastbench.report.console import render
from fastbench.report.folder import ResultFolder
from fastbench.report.formats import FORMATS
from fastbench.salvage import salvage

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = [samples_ns(seed, 1000) for seed in (11, 12, 13)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal is."""
    return tmp_path / "journal.jsonl"


def killed(path: Path, **options: Any) -> bytes:
    """Return the journal of a run that was killed 3 s into its second repetition."""
    journal = Journal(path, HEAD)
    journal.begin(BEGIN)
    journal.whole(repetition(1))
    journal.begin(Begin(index=2, started_at=HEAD.started_at, batch=2, duration_s=4.0))
    fill(journal, SECONDS, **options)
    journal.close()
    return path.read_bytes()


def test_whole_repetitions_are_as_they_were(path: Path) -> None:
    """Head and finished repetitions come back equal; the run is marked as killed."""
    data = salvage(killed(path))

    assert (data.status, len(data.repetitions)) == ("killed", 2)
    assert data.repetitions[0] == repetition(1)
    for name in ("config", "platform", "target", "dataset", "started_at", "fastbench_version"):
        assert getattr(data, name) == getattr(result(), name)
    assert data.summary is not None
    assert "partial" in [warning.code for warning in data.warnings]
    assert "KILLED" in render(data)
    assert "ended early: killed, or unable to write its result" in render(data)


def test_latencies_of_the_broken_repetition_are_exact(path: Path) -> None:
    """They are those that an unbroken run of the same values reports, field for field."""
    broken = salvage(killed(path)).repetitions[1]
    values = np.concatenate(SECONDS)

    assert broken.status == "killed"
    assert broken.response_ms == latency_of(values)
    assert broken.service_ms == latency_of(values // 2)
    assert broken.send_lag_ms == latency_of(np.full(3000, 5000))
    assert (broken.measured_s, broken.inferences_per_s, broken.samples_per_s) == (3, 1000, 2000)
    assert broken.counts.intended == broken.counts.ok == 3000


def test_series_is_that_of_the_collector(path: Path) -> None:
    """Each interval has the same rate, quantiles and histogram as the running series had."""
    broken = salvage(killed(path)).repetitions[1]
    path.unlink()
    journal = Journal(path, HEAD)
    series = fill(journal, SECONDS).intervals
    journal.close()

    assert broken.timeseries == series


def test_time_outs_rank_above_everything(path: Path) -> None:
    """Counts hold together, and quantiles among time-outs are lower bounds, as in a whole run."""
    broken = salvage(killed(path, timeouts=40)).repetitions[1]

    assert broken.counts.sent == broken.counts.intended == 3120
    assert (broken.counts.ok, broken.counts.timeouts) == (3000, 120)
    assert "p99" in broken.response_ms.beyond


def test_what_is_not_known_is_absent(path: Path) -> None:
    """No cost, no server and no offered rate are made up."""
    broken = salvage(killed(path)).repetitions[1]

    assert broken.client.cpu_us_per_inference is None
    assert broken.client.threads == []
    assert (broken.server, broken.offered_per_s, broken.verification) == (None, None, None)


def test_any_cut_is_read_up_to_the_last_whole_line(path: Path) -> None:
    """Wherever the file ends, what was whole before stays, and never more."""
    data = killed(path)
    ends = [i + 1 for i, byte in enumerate(data) if byte == ord("\n")]

    for cut in range(ends[0], len(data), 97):
        whole = sum(end <= cut for end in ends)
        repetitions = salvage(data[:cut]).repetitions
        counted = [r.counts.ok for r in repetitions]
        assert counted == [4000][: whole >= 3] + [1000 * (whole - 4)][: whole > 4]
    assert len(salvage(data[:-1] + b"\0\0").repetitions[1].timeseries) == 2


def test_several_streams_are_added_up(path: Path) -> None:
    """Each stream stands alone, and the repetition is all of them together."""
    journal = Journal(path, HEAD)
    journal.begin(BEGIN)
    fill(journal, SECONDS[:2], stream="get")
    fill(journal, SECONDS[1:], stream="set")
    journal.close()
    (broken,) = salvage(path.read_bytes()).repetitions

    everything = np.concatenate([*SECONDS[:2], *SECONDS[1:]])
    assert broken.response_ms == latency_of(everything)
    assert [i.ok for i in broken.timeseries] == [2000, 2000]
    assert [s.name for s in broken.streams] == ["get", "set"]
    assert broken.streams[1].response_ms == latency_of(np.concatenate(SECONDS[1:]))
    assert broken.inferences_per_s == 2000 == sum(s.inferences_per_s for s in broken.streams)


def test_open_loops_stay_open(path: Path) -> None:
    """Each stream keeps the rate that was asked of it; a closed loop beside it has none."""
    journal = Journal(path, HEAD)
    journal.begin(msgspec.structs.replace(BEGIN, target_per_s=None, targets={"get": 2000.0}))
    fill(journal, SECONDS[:1], stream="get")
    fill(journal, SECONDS[:1], stream="set")
    journal.close()
    (broken,) = salvage(path.read_bytes()).repetitions

    assert [s.target_per_s for s in broken.streams] == [2000.0, None]
    assert broken.target_per_s is None


@pytest.mark.parametrize("running", [False, True])
def test_a_repetition_that_did_not_fit_whole(path: Path, running: bool) -> None:
    """Where the disk was full only at its end, its intervals stand for it, beside the next one."""
    journal = Journal(path, HEAD)
    journal.begin(BEGIN)
    fill(journal, SECONDS[:2])
    journal.begin(msgspec.structs.replace(BEGIN, index=2))
    fill(journal, SECONDS[2:])
    journal.close()
    first, second = salvage(path.read_bytes(), running=running).repetitions

    assert (first.index, first.counts.ok, second.index, second.counts.ok) == (1, 2000, 2, 1000)
    assert first.response_ms == latency_of(np.concatenate(SECONDS[:2]))
    assert (first.status, second.status) == ("killed", "running" if running else "killed")


def test_what_follows_measure_is_not_in_the_rate(path: Path) -> None:
    """Killed in its drain, a repetition was as long as it had to be."""
    journal = Journal(path, HEAD)
    journal.begin(msgspec.structs.replace(BEGIN, duration_s=1.5))
    fill(journal, SECONDS)
    journal.close()
    (broken,) = salvage(path.read_bytes()).repetitions

    assert broken.measured_s == 1.5
    assert [i.end_s for i in broken.timeseries] == [1.0, 1.5, 3.0]
    assert broken.timeseries[2].inferences_per_s is None


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_format_can_show_it(path: Path, name: str) -> None:
    """No renderer needs what a killed run does not know."""
    assert b"killed" in FORMATS[name](salvage(killed(path))).lower()


def test_killed_in_warm_up(path: Path) -> None:
    """A run that had measured nothing says so."""
    journal = Journal(path, HEAD)
    journal.begin(BEGIN)
    journal.close()
    data = salvage(path.read_bytes())

    assert (data.status, data.repetitions, data.summary) == ("killed", [], None)
    assert "no inference succeeded" in render(data)


@pytest.mark.parametrize(("version", "says"), [(0, "older.*schema 0"), (2, "newer.*schema 2")])
def test_journals_of_other_versions_are_refused(path: Path, version: int, says: str) -> None:
    """The version is named, before anything else is believed."""
    Journal(path, msgspec.structs.replace(HEAD, schema_version=version)).close()

    with pytest.raises(UsageError, match=says):
        salvage(path.read_bytes())


def test_folder_reads_its_journal_and_guards_it(path: Path) -> None:
    """Without result.json the folder's result is the journal's; a second run is refused."""
    killed(path)
    folder = path.parent

    assert ResultFolder.read(folder).status == ResultFolder.read(path).status == "killed"
    with pytest.raises(UsageError, match="journal of a run that was killed or still runs"):
        ResultFolder(folder).prepare()


def test_folder_of_a_run_that_goes_on(path: Path) -> None:
    """While the run holds its journal it is not called killed."""
    journal = Journal(path, HEAD)
    journal.begin(BEGIN)
    fill(journal, SECONDS)

    data = ResultFolder.read(path.parent)
    journal.close()
    assert (data.status, data.repetitions[0].status) == ("running", "running")
    assert "not yet over: it still runs" in render(data)


def test_written_result_takes_the_journals_place(tmp_path: Path) -> None:
    """After the last write nothing is left but the documented files."""
    folder = ResultFolder(tmp_path / "run")
    folder.prepare()
    fill(folder.open_journal(HEAD), SECONDS)
    folder.write(result())

    assert not (tmp_path / "run" / "journal.jsonl").exists()
    assert ResultFolder.read(tmp_path / "run") == result()


@pytest.mark.parametrize("measured", [False, True])
def test_discard_keeps_what_was_measured(tmp_path: Path, measured: bool) -> None:
    """A run that ends without a result leaves its journal, but not one with nothing in it."""
    folder = ResultFolder(tmp_path / "run")
    folder.prepare()
    journal = folder.open_journal(HEAD)
    journal.begin(BEGIN)
    if measured:
        fill(journal, SECONDS)
    folder.discard()

    assert (tmp_path / "run").exists() == measured
    assert not measured or ResultFolder.read(tmp_path / "run").repetitions[0].counts.ok == 3000
