"""What was run against what, in lines of (name, text) for the head of the console report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from fastbench.bodies import bodies_of, body_of
from fastbench.report import numbers
from fastbench.topology import format_list
from fastbench.wording import COMMAND, counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fastbench.results import Result, TargetInfo


def facts(result: Result) -> list[tuple[str, str]]:
    """Return name and text of each fact that is known, printable and in reading order."""
    lines = (
        ("target", _target(result)),
        ("model", _model(result)),
        ("dataset", _dataset(result)),
        ("command", _commands(result)),
        ("load", load_of(result)),
        ("measured", _measured(result)),
        ("client", _platform(result)),
        ("CPUs", _cpus(result)),
    )
    everything = [*(lines if not result.streams else _of_streams(result, lines))]
    return [(name, numbers.printable(text)) for name, text in everything if text]


def workload_of(result: Result) -> str:
    """Return what was run, of several streams each workload once."""
    config = result.config
    each = [str(stream.get("workload")) for stream in config.get("streams", [])]
    return " and ".join(dict.fromkeys(each)) or str(config.get("workload", "run"))


def targets_of(config: dict[str, Any]) -> str:
    """Return the target of a configuration, of several streams each once."""
    streams = config.get("streams") or [config]
    each = (str(stream.get("target") or config.get("target", "")) for stream in streams)
    return numbers.printable(" and ".join(dict.fromkeys(each)))


def _of_streams(result: Result, lines: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Yield what holds for all streams, then a line for each."""
    own = {"target", "model", "dataset", "command", "load"}
    threads = _plural(int(result.config.get("threads", 1)), "thread")
    yield "load", f"{_plural(len(result.streams), 'stream')} on {threads}"
    yield from (line for line in lines if line[0] not in own)
    threads_of = {"threads": result.config.get("threads", 1)}
    for info, config in zip(result.streams, result.config.get("streams", []), strict=False):
        alone = msgspec.structs.replace(
            result, config=threads_of | config, target=info.target, dataset=info.dataset
        )
        weight = config.get("weight")
        yield (
            f"stream {info.name}",
            _join(
                f"weight {weight:g}" if weight else "",
                _commands(alone) or _model(alone),
                _loop(config),
                _in_flight(alone.config),
                _target(alone),
                _dataset(alone),
            ),
        )


def _target(result: Result) -> str:
    target = result.target
    known = _join(target.server, target.protocol)
    return f"{target.url} ({known})" if known else target.url


def _model(result: Result) -> str:
    target = result.target
    if counted(result.config) == COMMAND:
        return ""
    models = int(result.config.get("models", 1))
    name = target.model or "the server does not name it"
    return _join(
        name if models == 1 else f"{name} under {models:,} keys in turn",
        _runs_on(target),
        _weights(target),
        _first_answer(target),
        *_batches(target.details),
    )


def _runs_on(target: TargetInfo) -> str:
    if target.backend and target.device:
        return f"{target.backend} on {target.device}"
    return target.device or (f"backend {target.backend}" if target.backend else "")


def _weights(target: TargetInfo) -> str:
    if target.random_weights is None:
        return "weights not known (it was on the server already)"
    return "RANDOM WEIGHTS" if target.random_weights else ""


def _batches(details: dict[str, str]) -> Iterator[str]:
    """Say how the server is set to gather inferences, and how many instances it has."""
    most, batching = details.get("max_batch_size", "0"), details.get("dynamic_batching", "off")
    if most != "0":
        yield f"the server runs at most {most} samples together"
    if batching != "off":
        yield f"dynamic batching ({batching})"
    if "instances" in details:
        yield f"instances: {details['instances']}"


def _first_answer(target: TargetInfo) -> str:
    """Say how near the first answer was to onnxruntime's, with which model if that is not said."""
    difference, model = target.check_max_abs_difference, target.details.get("compared_with", "")
    if difference is None:
        return ""
    known = f" with {model}" if model not in {"", target.model} else ""
    if difference == 0:
        return f"first answer equals onnxruntime's{known}"
    return f"first answer within {difference:.1e} of onnxruntime's{known}"


def _dataset(result: Result) -> str:
    data = result.dataset
    if data is None:
        return ""
    shape = " x ".join(str(n) for n in data.shape)
    rows = f"{data.rows:,} rows of {shape} {data.dtype}"
    return _join("SYNTHETIC" if data.synthetic else "", rows, data.description, data.path)


def load_of(result: Result, *, form: bool = True) -> str:
    """Return how hard the server was driven; ``form``: and how an inference was sent."""
    config = result.config
    threads = int(config.get("threads", 1))
    return _join(
        f"{_loop(config)}, {_plural(threads, 'thread')}",
        _in_flight(config),
        f"batch {config.get('batch', 1)}" if _infers(config) else "",
        form_of(result) if form else "",
    )


def form_of(result: Result) -> str:
    """Return how an inference was sent; nothing where none was."""
    return _form(result.config, result.target.details) if _infers(result.config) else ""


def of_streams(result: Result) -> str:
    """Return what each of several streams went to and sent."""
    each = (
        (stream.name, msgspec.structs.replace(result, target=stream.target, dataset=stream.dataset))
        for stream in result.streams
    )
    texts = (f"{name}: {_join(_target(one), _dataset(one))}" for name, one in each)
    return numbers.printable("; ".join(texts))


def _infers(config: dict[str, Any]) -> bool:
    return config.get("workload") in {"vision", "fraud"}


def _form(config: dict[str, Any], details: dict[str, str]) -> str:
    """Say how an inference is sent: over HTTP and gRPC its body, else its dialect and form."""
    target = str(config.get("target", ""))
    if config.get("shm"):
        outputs = " and outputs" * (details.get("shared_memory_outputs", "none") != "none")
        return f"rows{outputs} in SYSTEM SHARED MEMORY"
    if bodies_of(target):
        return f"{body_of(target, config.get('body'))} body"
    return " ".join(str(config[key]) for key in ("dialect", "form") if config.get(key))


def _in_flight(config: dict[str, Any]) -> str:
    connections = int(config.get("connections") or config.get("threads", 1))
    pipeline = int(config.get("pipeline", 1))
    return (
        f"{_plural(connections, 'connection')} x pipeline {pipeline} = "
        f"{connections * pipeline:,} in flight"
    )


def _loop(config: dict[str, Any]) -> str:
    arrivals = config.get("arrivals", "")
    if config.get("arrivals_file"):
        return f"open loop at the instants of {config['arrivals_file']}"
    if config.get("profile"):
        return f"open loop at {config['profile']} (per second : time), {arrivals} arrivals"
    if config.get("rate_per_s"):
        return f"open loop at {float(config['rate_per_s']):,.6g}/s, {arrivals} arrivals"
    return "closed loop"


def _commands(result: Result) -> str:
    command = result.config.get("command") or {}
    sent = [" ".join(arguments) for arguments in command.get("commands", [])]
    ratios = command.get("ratios") or [1] * len(sent)
    fetches = [" ".join(fetch) for fetch in command.get("fetches", [])]
    if len(sent) == 1:
        return numbers.printable(", then ".join([*fetches, sent[0]]))
    return "; ".join(
        f"{ratio} x {numbers.printable(text)}" for ratio, text in zip(ratios, sent, strict=False)
    )


def _measured(result: Result) -> str:
    if not result.repetitions:
        return ""
    whole = [r.measured_s for r in result.repetitions if r.status == "complete"]
    others = [r.measured_s for r in result.repetitions if r.status != "complete"]
    return _join(
        f"{_plural(len(whole), 'repetition')} of {_lengths(whole)}" if whole else "",
        f"{_plural(len(others), 'incomplete repetition')} of {_lengths(others)}" if others else "",
        f"warm-up {numbers.seconds(float(result.config.get('warmup_s', 0)))}",
        f"time-out {numbers.seconds(float(result.config.get('timeout_s', 0)))}",
    )


def _lengths(each_s: list[float]) -> str:
    low, high = numbers.seconds(min(each_s)), numbers.seconds(max(each_s))
    return low if low == high else f"{low} to {high}"


def _platform(result: Result) -> str:
    about = result.platform
    logical = about.get("cpus_logical", "?")
    allowed = len(about.get("cpus_allowed", [])) or logical
    limit, memory_bytes = about.get("cpu_limit"), about.get("memory_bytes")
    return _join(
        str(about.get("cpu_model", "")),
        f"{logical} CPUs" if allowed == logical else f"{allowed} of {logical} CPUs",
        f"limited to {limit:g} CPUs" if limit else "",
        f"{memory_bytes / 2**30:.0f} GiB" if memory_bytes else "",
        *about.get("gpus", []),
        str(about.get("distribution", "")),
        f"kernel {about['kernel']}" if about.get("kernel") else "",
    )


def _cpus(result: Result) -> str:
    placed = result.placement
    if placed is None or not placed.client_cpus:
        return "client not pinned" if placed else ""
    served = (f"IRQ {irq} on {format_list(cpus)}" for irq, cpus in placed.interrupts.items())
    interrupts = ", ".join(served)
    return _join(
        f"client pinned to {format_list(sorted({*placed.client_cpus}))}",
        f"server may use {format_list(placed.server_cpus)}" if placed.server_cpus else "",
        f"IN BOTH {format_list(placed.shared_cpus)}" if placed.shared_cpus else "",
        *(f"{format_list(core)} are one core" for core in placed.shared_cores),
        f"{placed.interface}: {interrupts}" if interrupts else "",
    )


def _join(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


def _plural(n: int, noun: str) -> str:
    return f"{n:,} {noun}" + ("" if n == 1 else "s")
