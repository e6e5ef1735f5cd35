"""The Prometheus exposition, read by Prometheus' own Python parser."""

from __future__ import annotations

import re

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.sample_result import result
from support.streams_result import with_streams

from fastbench.report import prometheus
from fastbench.results import QUANTILES, Result, Warning


def samples(data: Result) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Return the value of each sample by name and labels; fails where one is there twice."""
    text = prometheus.render(data).decode()
    found = [
        ((s.name, frozenset(s.labels.items())), s.value)
        for family in text_string_to_metric_families(text)
        for s in family.samples
    ]
    assert len(dict(found)) == len(found)
    return dict(found)


def value(data: Result, name: str, **labels: object) -> float | None:
    """Return one sample; None where it is not there."""
    wanted = frozenset((key, str(text)) for key, text in labels.items())
    return samples(data).get((f"fastbench_{name}", wanted))


def test_every_family_has_help_and_type() -> None:
    """Each sample belongs to a family that was announced with its type and meaning."""
    text = prometheus.render(with_streams()).decode()

    for family in text_string_to_metric_families(text):
        assert family.documentation
        assert family.type in {"gauge", "counter", "summary"}
        assert family.samples
    assert text.endswith("\n")
    names = re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)
    assert len(set(names)) == len(names)


def test_workloads_of_streams_are_named() -> None:
    """What streams run counts, not the run's own default, which nothing ran."""
    base = with_streams()
    config = {**base.config, "streams": [{"workload": "command"}, {"workload": "fraud"}]}
    text = prometheus.render(msgspec.structs.replace(base, config=config)).decode()

    assert 'workload="command and fraud"' in text


def test_rates_counts_and_latencies_in_base_units() -> None:
    """Values are those of the result; milliseconds have become seconds."""
    data = with_streams()
    for r in data.repetitions:
        assert value(data, "inferences_per_second", repetition=r.index) == r.inferences_per_s
        timeouts = value(data, "inferences_total", repetition=r.index, outcome="timeouts")
        assert timeouts == r.counts.timeouts
        p50 = value(data, "response_time_seconds", repetition=r.index, quantile=0.5)
        assert r.response_ms.p50 is not None
        assert p50 == pytest.approx(r.response_ms.p50 / 1e3, rel=1e-12)
        count = value(data, "response_time_seconds_count", repetition=r.index)
        total = value(data, "response_time_seconds_sum", repetition=r.index)
        assert count == r.response_ms.count
        assert total == pytest.approx((r.response_ms.mean or 0) * r.response_ms.count / 1e3)
    assert value(data, "client_cpu_seconds_per_inference", repetition=1, mode="user") == 30.1e-6


def test_outcomes_add_up_to_what_was_intended() -> None:
    """No outcome is a sum of others, so a sum over the label counts each inference once."""
    data = with_streams()
    counted = {
        labels: amount
        for (name, labels), amount in samples(data).items()
        if name == "fastbench_inferences_total"
    }

    assert sum(counted.values()) == sum(r.counts.intended for r in data.repetitions)


def test_lower_bounds_are_left_out() -> None:
    """A quantile that falls among time-outs has no sample."""
    data = with_streams()
    beyond = data.repetitions[1].response_ms.beyond

    assert "p99" in beyond
    for name, q in QUANTILES.items():
        found = value(data, "response_time_seconds", repetition=2, quantile=q)
        assert (found is None) == (name in beyond)
    assert value(data, "median_response_time_seconds", quantile=0.99) is None
    assert value(data, "median_response_time_seconds", quantile=0.5) is not None


def test_labels_are_escaped() -> None:
    """Quotes, backslashes and line feeds in names come back as they were."""
    data = msgspec.structs.replace(
        with_streams(), warnings=[Warning(code='a"b\\c\nd', message="")] * 2
    )

    assert value(data, "warnings", code='a"b\\c\nd') == 2
    rate = value(data, "stream_inferences_per_second", stream='se|t "x"', repetition=1)
    assert rate == data.repetitions[0].inferences_per_s


def test_run_without_a_repetition() -> None:
    """A run that never measured is what it was, and nothing else."""
    data = msgspec.structs.replace(result(), repetitions=[], summary=None)

    names = {name for name, _ in samples(data)}
    assert names == {"fastbench_info", "fastbench_start_time_seconds", "fastbench_verdict"}
