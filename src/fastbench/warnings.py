"""Doubts about a result: each from the data alone, with a stable code and an advice.

A rule takes a result and yields its warnings; adding one is a function and a line in ``RULES``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastbench.bodies import bodies_of
from fastbench.results import QUANTILES, Result, Warning
from fastbench.steadiness import examine
from fastbench.summary import counted, median_of, streams_of, total_counts
from fastbench.wording import wording

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any

    from fastbench.results import (
        Counts,
        DatasetInfo,
        Repetition,
        StreamInfo,
        StreamResult,
        ThreadUsage,
    )

    Part = Repetition | StreamResult
    from fastbench.steadiness import Finding

LATE_MS = 1.0  # a send lag above it at p99, and above a tenth of the service time, is a miss
LATE_SHARE = 0.1
SHORT_RUN_S = 5.0
UNSTABLE = 0.10  # (max - min) / median of the rate over repetitions
UNSTEADY = 0.25  # of the inferences that could be in flight
WRONG_ANSWERS = "wrong answers: what was sampled differs from what the model computes"
UNCHECKED = "not checked"  # how a target's detail begins that could not be found out


def assess(result: Result) -> list[Warning]:
    """Return the warnings that ``result`` deserves, the gravest first."""
    return [warning for rule in RULES for warning in rule(result)]


def _partial(result: Result) -> Iterator[Warning]:
    if result.status != "complete":
        whole = sum(r.status == "complete" for r in result.repetitions)
        wanted = result.config.get("repetitions", "?")
        yield Warning(
            code="partial",
            message=f"the run is {result.status} (complete repetitions: {whole} of {wanted})"
            f"{': ' if result.error else ''}{result.error}",
            advice="do not compare it with complete runs",
        )


def answers_are_right(result: Result) -> bool:
    """Tell whether all that was to be compared with the model's answers was, and none differed."""
    checks = [r.verification for r in result.repetitions if r.verification]
    return all(check.checked and not check.mismatches for check in checks)


def _wrong_answers(result: Result) -> Iterator[Warning]:
    checks = [r.verification for r in result.repetitions if r.verification]
    wrong = sum(v.mismatches for v in checks)
    if wrong:
        yield Warning(
            code="wrong-answers",
            message=f"{wrong} of {sum(v.checked for v in checks)} replies differ from "
            "an in-process onnxruntime run of the same inputs",
            advice="find out what the server computes before measuring how fast",
        )
    unchecked = sum(v.unchecked for v in checks)
    if unchecked:
        yield Warning(
            code="unchecked-answers",
            message=f"{unchecked} successful replies that --verify asked for were not compared: "
            "they came faster than onnxruntime computes them here, and only 64 MiB may wait",
            advice="lower the load, or let --verify sample fewer replies",
        )


def _errors(result: Result) -> Iterator[Warning]:
    total = _sum(result, "errors")
    if total:
        texts = (
            error.first_text or name
            for r in result.repetitions
            for name, error in r.counts.errors_by_class.items()
        )
        yield Warning(
            code="errors",
            message=f"{_share(total, result)} answered with an error ({next(texts, 'unknown')})",
            advice="they count neither in the rate nor in the latencies; read the server's log",
        )


def _timeouts(result: Result) -> Iterator[Warning]:
    total = _sum(result, "timeouts")
    if total:
        yield Warning(
            code="timeouts",
            message=f"{_share(total, result)} timed out",
            advice="quantiles among them are shown as '>': lower the load or raise --timeout",
        )


def _lost(result: Result) -> Iterator[Warning]:
    total = _sum(result, "lost")
    if total:
        reconnects = sum(r.client.reconnects for r in result.repetitions)
        yield Warning(
            code="lost",
            message=f"{_share(total, result)} lost with their connection ({reconnects} reconnects)",
            advice="look for crashes, output-buffer limits and idle time-outs of the server",
        )


def _unfinished(result: Result) -> Iterator[Warning]:
    """Name those that had no outcome: at the end of a drain the server could not follow.

    A repetition that the user cut short says nothing of the server; one that an error ended says
    why itself.
    """
    for statuses, when, advice in (
        (
            {"complete"},
            "when the drain ended",
            "the server cannot follow this load: lower it, or raise --timeout",
        ),
        ({"partial"}, "when an error ended the repetition", "the error says why"),
    ):
        counts = total_counts([r.counts for r in result.repetitions if r.status in statuses])
        found = (
            (counts.unfinished, "sent but not answered"),
            (counts.never_sent, "due but not yet sent"),
        )
        texts = [f"{_share_of(n, counts, result)} were {what}" for n, what in found if n]
        if texts:
            yield Warning(code="unfinished", message=f"{' and '.join(texts)} {when}", advice=advice)


def _unsteady(result: Result) -> Iterator[Warning]:
    """Check Little's law: a closed loop holds rate x mean response time in flight, not more."""
    for config, parts in _closed_loops(result):
        connections = int(config.get("connections") or result.config.get("threads", 1))
        in_flight = connections * int(config.get("pipeline", 1))
        held = max(p.inferences_per_s * (p.response_ms.mean or 0.0) / 1e3 for p in parts)
        if held <= in_flight * (1 + UNSTEADY):
            continue
        yield Warning(
            code="unsteady",
            message=wording(result.config)("INFERENCES/S ARE TOO HIGH: ")
            + f"with the mean response time they make {held:,.1f} in flight where only "
            f"{in_flight:,} could be: the load was still building up",
            advice="use --warmup and --duration well above the response times",
        )


def _clipped(result: Result) -> Iterator[Warning]:
    total = sum(r.response_ms.clipped for r in result.repetitions)
    if total:
        yield Warning(
            code="clipped",
            message=f"{total:,} response times above 1 h are outside the histogram",
            advice="they are counted, and rank above everything recorded",
        )


def _schedule_missed(result: Result) -> Iterator[Warning]:
    """Say when an open loop did not send on schedule: its clients waited longer than it seems."""
    for stream, paced in _open_loops(result):
        late_ms = max((p.send_lag_ms.p99 or 0.0 for p in paced if p.send_lag_ms), default=0.0)
        service_ms = min(p.service_ms.p50 or 0.0 for p in paced)
        never = sum(p.counts.never_sent for p in paced)
        if not never and late_ms <= max(LATE_MS, LATE_SHARE * service_ms):
            continue
        dropped = f", and {never:,} were never sent" if never else ""
        yield Warning(
            code="schedule-missed",
            message=f"THE SCHEDULE WAS NOT KEPT{stream}: "
            + wording(result.config)("1 % of the inferences left ")
            + f"{_three_digits(late_ms)} ms or more after they were due{dropped}",
            advice="response times include that wait; lower --rate, or give the server more "
            "--connections or --pipeline, the client more --threads",
        )


def _insecure(result: Result) -> Iterator[Warning]:
    configs = (result.config, *result.config.get("streams", []))
    if any((config.get("tls") or {}).get("insecure") for config in configs):
        yield Warning(
            code="tls-insecure",
            message="the server's certificate was not checked: it may not have been the server",
            advice="give the CA's certificate by --tls-ca in place of --tls-insecure",
        )


def _unready(result: Result) -> Iterator[Warning]:
    for target in [stream.target for stream in result.streams] or [result.target]:
        found = target.details.get("readiness", "")
        if found.startswith(UNCHECKED):
            yield Warning(
                code="readiness-not-checked",
                message=f"{target.url}: whether a worker had the model ready was {found}",
                advice="open the management API to the client, or give its port: ?management=PORT",
            )


def _unpinned(result: Result) -> Iterator[Warning]:
    unpinned = {t.name for t in _threads(result) if t.cpu is None}
    if unpinned:
        yield Warning(
            code="unpinned",
            message=f"{len(unpinned)} client threads were not pinned: the kernel may have moved "
            "them between CPUs",
            advice="leave out --no-pin, or allow the process as many CPUs as it has threads",
        )


def _cold_cache(result: Result) -> Iterator[Warning]:
    missing = sum(max(data.bytes - data.resident_bytes, 0) for data in _datasets(result))
    if missing:
        yield Warning(
            code="cold-cache",
            message=f"{missing / 2**20:,.0f} MiB of the dataset were not in the page cache when "
            "the run began: client threads may have waited for the disk",
            advice="free memory or use fewer rows",
        )


def _governor(result: Result) -> Iterator[Warning]:
    governor = result.platform.get("cpu_governor", "performance")
    if governor != "performance":
        yield Warning(
            code="cpu-governor",
            message=f"the CPU frequency governor is {governor}: latencies at low load are longer",
            advice="set it to performance, e.g. cpupower frequency-set -g performance",
        )


def _steadiness(result: Result) -> Iterator[Warning]:
    """Say where the measure phase was not steady; see :mod:`fastbench.steadiness`."""
    found, say = examine(result), wording(result.config)
    if found.drift:
        yield Warning(
            code="drift",
            message=say(f"during measure {_changes(found.drift)}, by more than chance"),
            advice="the server or the machine was changing (memory, heat, caches, other work): "
            "find out what, or measure until it has settled",
        )
    if found.warm_up:
        warmup_s = float(result.config.get("warmup_s") or 0.0)
        longer_s = warmup_s + max(f.settled_s for f in found.warm_up)
        yield Warning(
            code="warm-up-visible",
            message=say(
                f"in the first fifth of measure {_changes(found.warm_up, after='the rest')}"
            ),
            advice=f"warm up longer: --warmup {max(longer_s, 2 * warmup_s):.2g} or more",
        )
    if found.untested and result.repetitions:
        yield Warning(
            code="steadiness-untested",
            message=f"warm-up and drift were not tested: {found.untested}",
            advice="measure longer, at a constant load",
        )


def _changes(findings: Iterable[Finding], after: str = "") -> str:
    """Say which metrics rose or fell, or lay above or below, by how much."""
    words = ("was above", "was below") if after else ("rose", "fell")
    return ", ".join(
        f"{f.metric} {words[f.size < 0]}{' ' + after if after else ''} by {abs(f.size):.0%}"
        for f in findings
    )


def _synthetic(result: Result) -> Iterator[Warning]:
    if any(data.synthetic for data in _datasets(result)):
        yield Warning(
            code="synthetic-dataset",
            message="the data are synthetic, made by fastbench",
            advice="use real data, by fastbench data vision or data fraud, then --dataset",
        )


def _random_weights(result: Result) -> Iterator[Warning]:
    if any(source.target.random_weights for source in _sources(result)):
        yield Warning(
            code="random-weights",
            message="the model has random weights: its cost is real, its predictions mean nothing",
            advice="use a trained model: --model PATH",
        )


def _model_not_compared(result: Result) -> Iterator[Warning]:
    """Say where --model had no effect: the server has a model of its own, and none was verified."""
    configs = result.config.get("streams") or [result.config]
    for config, source in zip(configs, _sources(result), strict=False):
        target = source.target
        held = bool(bodies_of(target.url)) and target.check_max_abs_difference is None
        if config.get("model") and held:
            yield Warning(
                code="model-not-compared",
                message=f"{target.url} ran the model that it had: --model only names what "
                "--verify compares its answers with, and nothing was verified",
                advice="give --verify N, or leave out --model",
            )


def _few_samples(result: Result) -> Iterator[Warning]:
    each = counted(result.repetitions)
    marked = {name for r in each for name in r.response_ms.few_samples}
    central = [name for name, q in QUANTILES.items() if name in marked and q <= QUANTILES["p99"]]
    if central:
        yield Warning(
            code="few-samples",
            message=f"fewer than 10 samples lie above {', '.join(central)} in a repetition",
            advice="measure longer: --duration or --requests",
        )


def _short_run(result: Result) -> Iterator[Warning]:
    shortest = min((r.measured_s for r in counted(result.repetitions)), default=SHORT_RUN_S)
    if shortest < SHORT_RUN_S:
        yield Warning(
            code="short-run",
            message=f"a repetition measured only {shortest:.2f} s: slow effects (clock "
            "frequency, background work) are not averaged out",
            advice="use --duration 30 or more for numbers to keep",
        )


def _unstable(result: Result) -> Iterator[Warning]:
    rates = [r.inferences_per_s for r in counted(result.repetitions) if r.status != "partial"]
    if len(counted(result.repetitions)) == 1:
        yield Warning(
            code="single-repetition",
            message="one repetition says nothing about how far results vary",
            advice="use --repetitions 3 or more",
        )
    elif median := median_of(rates):
        spread = (max(rates) - min(rates)) / median
        if spread > UNSTABLE:
            yield Warning(
                code="unstable",
                message=wording(result.config)("inferences/s vary by ")
                + f"{spread:.0%} of the median between repetitions",
                advice="look for other work on the machines; measure longer",
            )


RULES: tuple[Callable[[Result], Iterable[Warning]], ...] = (
    _partial,
    _wrong_answers,
    _errors,
    _timeouts,
    _lost,
    _unfinished,
    _unsteady,
    _clipped,
    _schedule_missed,
    _insecure,
    _unready,
    _unpinned,
    _cold_cache,
    _governor,
    _few_samples,
    _short_run,
    _unstable,
    _steadiness,
    _synthetic,
    _random_weights,
    _model_not_compared,
)


def _sources(result: Result) -> Sequence[Result | StreamInfo]:
    """Return what says where the inferences went, and what they were: of each stream."""
    return result.streams or [result]


def _datasets(result: Result) -> list[DatasetInfo]:
    """Return what all streams sent, each dataset once."""
    found = [source.dataset for source in _sources(result)]
    return list({data.path: data for data in found if data is not None}.values())


def _parts(result: Result) -> Iterator[tuple[str, dict[str, Any], list[Part]]]:
    """Yield name, configuration and repetitions of each stream; of a single one without a name.

    A repetition that an error ended is left out: that error, not the load, made its figures.
    """
    repetitions = [r for r in result.repetitions if r.status != "partial"]
    each = streams_of(repetitions)
    if not each and repetitions:
        yield "", result.config, [*repetitions]
    configs = {config.get("name"): config for config in result.config.get("streams", [])}
    for parts in each:
        yield parts[0].name, configs.get(parts[0].name, {}), [*parts]


def _closed_loops(result: Result) -> Iterator[tuple[dict[str, Any], list[Part]]]:
    for _, config, parts in _parts(result):
        if not any(part.target_per_s for part in parts):
            yield config, parts


def _open_loops(result: Result) -> Iterator[tuple[str, list[Part]]]:
    for name, _, parts in _parts(result):
        paced = [part for part in parts if part.target_per_s]
        if paced:
            yield f" by stream {name}" if name else "", paced


def _sum(result: Result, field: str) -> int:
    return sum(getattr(r.counts, field) for r in result.repetitions)


def _share(count: int, result: Result) -> str:
    return _share_of(count, total_counts([r.counts for r in result.repetitions]), result)


def _share_of(count: int, counts: Counts, result: Result) -> str:
    share = count / max(counts.intended, 1)
    return f"{count:,} of {counts.intended:,} {wording(result.config)('inferences')} ({share:.2%})"


def _three_digits(value: float) -> str:
    """Return three significant digits, never as a power of ten."""
    return f"{float(f'{value:.3g}'):,.10g}"


def _threads(result: Result) -> list[ThreadUsage]:
    repetitions: list[Repetition] = result.repetitions
    return [thread for r in repetitions for thread in r.client.threads]
