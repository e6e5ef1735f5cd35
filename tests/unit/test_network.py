"""The network baseline as data: read back or refused, and matched to the size of an inference."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from support.page import page
from support.sample_network import network, transaction
from support.sample_result import result

from fastbench import network as net
from fastbench import versioned
from fastbench.errors import UsageError
from fastbench.report import console, markdown
from fastbench.report.formats import FORMATS
from fastbench.report.network import render, share_text
from fastbench.results import from_json

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"


def result_with(row_bytes: int, service_p50_ms: float) -> net.Result:
    """Return a result whose inference sends ``row_bytes`` and whose median service time is set."""
    whole = result()
    assert whole.summary is not None
    assert whole.dataset is not None
    service = msgspec.structs.replace(whole.summary.service_ms, p50=service_p50_ms, beyond=[])
    return msgspec.structs.replace(
        whole,
        config={**whole.config, "batch": 1},
        dataset=msgspec.structs.replace(whole.dataset, rows=10, bytes=10 * row_bytes),
        summary=msgspec.structs.replace(whole.summary, service_ms=service),
    )


def test_file_is_read_back(tmp_path: Path) -> None:
    """What was written is what is read; a folder without a baseline has none."""
    baseline = network(transaction(1, 0.1))
    assert net.read(tmp_path) is None

    (tmp_path / "network.json").write_bytes(versioned.to_json(baseline))

    assert net.read(tmp_path) == baseline
    assert net.read(tmp_path / "network.json" / "below a file") is None


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"{", "not a whole fastbench network"),
        (b'{"schema_version": 99}', "newer fastbench"),
        (b'{"schema_version": 1}', "not a whole"),
    ],
)
def test_damaged_file_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    """One line names the file and what is wrong with it."""
    (tmp_path / "network.json").write_bytes(content)

    with pytest.raises(UsageError, match=says) as caught:
        net.read(tmp_path)
    assert str(tmp_path / "network.json") in str(caught.value)


def test_share_is_the_ratio_of_the_medians() -> None:
    """The transaction of the tensor's size counts, not the one of one byte."""
    baseline = network(transaction(1, 0.01), transaction(602_112, 0.5), transaction(10**6, 0.9))

    found = net.share_of(baseline, result_with(602_112, 10.0))
    text = share_text(found)

    assert found.share == pytest.approx(0.05, rel=1e-3)
    assert text.startswith("5.0 % of the service time's median")
    assert "602,112/4,004 bytes with lab:7400" in text
    assert "measured apart from the run" in text


def test_share_needs_a_transaction_of_that_size() -> None:
    """Where no test had such requests the share is not available, and it says what to measure."""
    baseline = network(transaction(1, 0.01), transaction(602_112, 0.5))

    text = share_text(net.share_of(baseline, result_with(1_000_000, 10.0)))

    assert "not available" in text
    assert "--request-bytes 1000000" in text


def test_share_needs_a_median() -> None:
    """A run without a median service time, or without a tensor, has no share."""
    baseline = network(transaction(602_112, 0.5))
    nothing = msgspec.structs.replace(result_with(602_112, 1.0), summary=None)
    no_data = msgspec.structs.replace(result_with(602_112, 1.0), dataset=None)
    run = result_with(602_112, 1.0)
    not_sent = msgspec.structs.replace(run, config={**run.config, "form": "execute"})

    for without in (nothing, no_data, not_sent):
        assert share_text(net.share_of(baseline, without)).startswith("not available: the run has")
    assert net.share_of(baseline, run).reason == ""


def test_every_report_has_the_share(tmp_path: Path) -> None:
    """With a baseline in its folder console, Markdown, HTML and JSON have it; without none."""
    run = result_with(602_112, 10.0)
    assert net.with_share(tmp_path, run) == run
    (tmp_path / "network.json").write_bytes(versioned.to_json(network(transaction(602_112, 0.5))))
    shared = net.with_share(tmp_path, run)
    assert shared.network_share is not None
    says = "TCP_RR of 602,112/4,004 bytes with lab:7400 0.500 ms, service 10.000 ms"

    assert says in " ".join(console.render(shared).split())
    assert "5.0 % of the service time" in console.render(shared)
    assert "Network share" in markdown.render(shared).decode()
    assert says in page(shared).sections["network"]
    assert from_json(FORMATS["json"](shared)).network_share == shared.network_share
    assert "network" not in page(run).sections
    for name in ("console", "markdown"):
        text = console.render(run) if name == "console" else markdown.render(run).decode()
        assert "network share" not in text.lower()


def test_report_has_every_test() -> None:
    """Rates, quantiles and both sockets are in the text."""
    stream = msgspec.structs.replace(
        transaction(131_072, 1.0), test="TCP_STREAM", mbit_per_s=9412.5, latency_ms=None
    )

    text = render(network(transaction(1, 0.25), stream))

    assert "TCP_RR, 1/4,004 bytes: 20.00 transactions/s" in text
    assert "p50 0.250" in text
    assert "TCP_STREAM, sends of 131,072 bytes: 9,412 Mbit/s" in text
    assert text.count("cubic, TCP_NODELAY on, MSS 1,448") == 4


@pytest.mark.parametrize("kind", [net.Network, net.NetworkTest, net.NetworkEnd])
def test_every_field_is_documented(kind: type[msgspec.Struct]) -> None:
    """The page on the file names each field in a table."""
    page = (DOCS / "network.md").read_text()

    assert [f.name for f in msgspec.structs.fields(kind) if f"`{f.name}`" not in page] == []
