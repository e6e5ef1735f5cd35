"""The ONNX suite: MNIST, Inception v2 and BERT under many keys, one after the other and at once.

The suite of RedisAI's ``onnx_benchmark``: inputs are stored once, and each inference is one
AI.MODELEXECUTE, over the keys of its model in turn. What is measured is the execution, with the
models in memory side by side, not the way of the inputs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import msgspec
import psutil

from fastbench import platform_info, verification
from fastbench.config import check_tls
from fastbench.errors import FastbenchError, ModelError, ServerError, UsageError
from fastbench.interrupts import deferred
from fastbench.job import Job
from fastbench.load import allow_connections
from fastbench.models.inputs import random_inputs
from fastbench.models.loading import load_model
from fastbench.plan import Plan
from fastbench.repetition import Outcome, now_utc
from fastbench.report import studies
from fastbench.report.folder import ResultFolder
from fastbench.results import TargetInfo
from fastbench.servers.embedded import EmbeddedServer
from fastbench.servers.redisai import DTYPES, RedisAI
from fastbench.servers.suite_messages import Stored, output_keys, stream_of
from fastbench.suites import (
    SUITE_SCHEMA_VERSION,
    MemoryStep,
    Session,
    SuiteModel,
    SuiteResult,
    to_json,
)
from fastbench.targets import parse_target
from fastbench.together import Ended, run_together

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fastbench.config import TlsConfig
    from fastbench.models.base import Model
    from fastbench.targets import Target

    Tell = Callable[[str], None]

PREFIX = "fastbench:suite:"
#: Name → (built-in model, keys that it is stored under).
SUITE = {
    "mnist": ("mnist_cnn", 50),
    "inception": ("inception_v2_224", 20),
    "bert": ("bert_base_cased", 1),
}
TIMEOUT_NS = 600_000_000_000  # the last of many clients waits for all the others
_MAX_CLIENTS, _MAX_RUNS = 10_000, 10**9
_NS_PER_S = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteConfig:
    """What the suite is to do.

    ``num_threads``: inferences that the server executes at a time on each device
    (THREADS_PER_QUEUE); None = as it is. ``num_parallel_clients``: of each model, in the parallel
    session. ``num_runs_…``: inferences per client. ``mnist``, ``inception``, ``bert``: model
    files instead of the built-in ones, which ``scale`` makes narrower (see docs/models.md).
    ``out``: folder for ``suite.json``; None = nothing is written.

    Raises :class:`UsageError` naming the argument, its value and the remedy.
    """

    target: str = "embedded:"
    device: str = "cpu"
    num_threads: int | None = None
    num_parallel_clients: int = 20
    num_runs_mnist: int = 500
    num_runs_inception: int = 50
    num_runs_bert: int = 5
    mnist: Path | None = None
    inception: Path | None = None
    bert: Path | None = None
    scale: float = 1.0
    out: Path | None = None
    tls: TlsConfig | None = None

    def __post_init__(self) -> None:
        """Check every value."""
        limits = {"num_parallel_clients": _MAX_CLIENTS} | {
            f"num_runs_{n}": _MAX_RUNS for n in SUITE
        }
        if self.num_threads is not None:
            limits["num_threads"] = 256
        for name, limit in limits.items():
            value = getattr(self, name)
            if not 1 <= value <= limit:
                msg = f"--{name.replace('_', '-')} {value}: must be from 1 to {limit}"
                raise UsageError(msg)
        if not 0.001 <= self.scale <= 1:  # noqa: PLR2004 - as the names of models have it
            msg = f"--scale {self.scale:g}: must be from 0.001 to 1"
            raise UsageError(msg)
        if round(self.scale, 3) != self.scale:
            msg = f"--scale {self.scale}: must have at most three decimals, e.g. 0.125"
            raise UsageError(msg)

    def runs(self, name: str) -> int:
        """Return the inferences per client of a model."""
        return int(getattr(self, f"num_runs_{name}"))

    def model(self, name: str) -> str:
        """Return the file or the built-in model."""
        given = getattr(self, name)
        scale = "" if self.scale == 1 else "@" + f"{self.scale:.3f}".rstrip("0")
        return SUITE[name][0] + scale if given is None else str(given)

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration as plain JSON data."""
        found: dict[str, Any] = msgspec.to_builtins(dataclasses.asdict(self), enc_hook=str)
        return found


def run_suite(config: SuiteConfig, tell: Tell) -> SuiteResult:
    """Run the whole suite and delete its keys again; ``tell`` hears each step as it begins.

    Where the server breaks down or Ctrl-C comes, what was measured until then is the result.
    Raises :class:`FastbenchError` where a model cannot be stored or computes something else;
    FastbenchError or KeyboardInterrupt before anything was measured.
    """
    target = parse_target(config.target)
    check_tls(config.tls, config.target)
    models = {name: _describe(config.model(name)) for name in SUITE}
    allow_connections(config.num_parallel_clients * len(SUITE), len(SUITE))
    with _folder(config) as folder, _server(config, target) as server:
        threads = _threads_per_queue(server)
        _check_threads(config, server, threads)
        pass_ = _Pass(config, server, tell)
        started_at = now_utc()
        try:
            pass_.load_all(models)
            outcome = pass_.measure()
            result = SuiteResult(
                schema_version=SUITE_SCHEMA_VERSION,
                fastbench_version=version("fastbench"),
                status=pass_.status(outcome),
                started_at=started_at,
                ended_at=now_utc(),
                config=config.to_dict(),
                platform=platform_info.describe(),
                url=config.target,
                server=server.name,
                threads_per_queue=threads,
                models=pass_.models,
                memory=pass_.memory,
                sessions=pass_.sessions,
                error=str(outcome.error or ""),
            )
            if folder:
                folder.add(studies.SUITE, to_json(result))
        finally:
            pass_.delete_keys()
    return result


@contextlib.contextmanager
def _folder(config: SuiteConfig) -> Iterator[ResultFolder | None]:
    """Prepare the folder before anything else; leave nothing behind when there is no result."""
    if config.out is None:
        yield None
        return
    folder = ResultFolder(config.out)
    folder.prepare()
    if (config.out / studies.SUITE).exists():
        msg = f"{config.out} holds the result of another suite: name another folder or remove it"
        raise UsageError(msg)
    try:
        yield folder
    finally:
        folder.discard()


@contextlib.contextmanager
def _server(config: SuiteConfig, target: Target) -> Iterator[RedisAI]:
    """Connect to the one server of the target, started first where it is the embedded one."""
    if len(target.endpoints) > 1:
        msg = f"{target.url}: the suite measures one server: give one"
        raise UsageError(msg)
    with contextlib.ExitStack() as stack:
        if target.kind == "embedded":
            threads = ("--threads-per-queue", str(config.num_threads or 1))
            embedded = EmbeddedServer(unix=target.path == "unix", options=threads)
            target = parse_target(stack.enter_context(embedded).url)
        yield stack.enter_context(RedisAI(target, config.tls))


def _threads_per_queue(server: RedisAI) -> int | None:
    try:
        told = server.execute("INFO", "MODULES")
    except ServerError:
        return None
    value = told.get("ai_threads_per_queue") if isinstance(told, dict) else None
    return value if isinstance(value, int) else None


def _check_threads(config: SuiteConfig, server: RedisAI, told: int | None) -> None:
    if config.num_threads not in {None, told}:
        said = "does not tell how many" if told is None else f"executes {told}"
        msg = (
            f"--num-threads {config.num_threads}: {server.target.url} {said} inferences at a time: "
            "that is fixed when its module is loaded (THREADS_PER_QUEUE); leave the option out"
        )
        raise UsageError(msg)


def _describe(name: str) -> Model:
    model = load_model(name)
    if any(spec.dtype not in DTYPES or spec.shape is None for spec in model.inputs):
        msg = f"model {model.path}: the suite needs to know the types and shapes of its inputs"
        raise ModelError(msg)
    return model


class _Pass:
    """The steps of one pass, and what they found.

    Ctrl-C waits for the end of what is asked of the server, which carries out what it has received:
    a model that was being stored would come after the deletion of its key.
    """

    def __init__(self, config: SuiteConfig, server: RedisAI, tell: Tell) -> None:
        self._config, self._server, self._tell = config, server, tell
        self._stored: dict[str, Stored] = {}
        self._keys: list[str] = []  # in the server, to be deleted
        self.models: list[SuiteModel] = []
        self.memory: list[MemoryStep] = []
        self.sessions: list[Session] = []

    def status(self, outcome: Outcome) -> str:
        """Return the status of the result: ``complete`` only where every inference succeeded."""
        whole = all(session.counts.ok == session.counts.intended for session in self.sessions)
        return outcome.status if whole or outcome.status != "complete" else "partial"

    def load_all(self, models: dict[str, Model]) -> None:
        """Store, check and describe each model."""
        self._look("start")
        for name, model in models.items():
            keys = SUITE[name][1]
            self._tell(f"{name}: storing {model.name} {keys} times")
            self._load(name, model, keys)
            self._look(f"{keys} x {name} stored and checked")

    def measure(self) -> Outcome:
        """Run both sessions, as far as they come, and return how they ended.

        Raises :class:`FastbenchError` or KeyboardInterrupt where nothing was measured yet.
        """
        try:
            return self._sessions()
        except (FastbenchError, KeyboardInterrupt) as end:  # what was measured is not lost for it
            if not self.sessions:
                raise
            error = end if isinstance(end, FastbenchError) else None
            return Outcome.of(error, interrupted=True)

    def _sessions(self) -> Outcome:
        for name in SUITE:
            outcome = self._session("sequential", (name,), clients=1)
            if outcome.status != "complete":
                return outcome
        self._look("after the sequential session")
        outcome = self._session("parallel", tuple(SUITE), clients=self._config.num_parallel_clients)
        self._look("after the parallel session")
        return outcome

    def delete_keys(self) -> None:
        """Delete what the suite stored, as far as the server still answers."""
        clients = range(self._config.num_parallel_clients)
        gives = (key for s in self._stored.values() for c in clients for key in output_keys(s, c))
        with deferred(), contextlib.suppress(FastbenchError):
            for key in (*self._keys, *gives):
                self._server.execute("DEL", key)

    def _load(self, name: str, model: Model, count: int) -> None:
        with deferred():
            server, inputs = self._server, random_inputs(model)
        keys = [f"{PREFIX}{name}:{i}" for i in range(count)]
        takes = [f"{PREFIX}{name}:in{i}" for i in range(len(inputs))]
        self._keys += [*keys, *takes]
        began = time.monotonic()
        for key in keys:
            with deferred():
                server.load(model, self._config.device, key=key)
        load_s = time.monotonic() - began
        with deferred():
            for key, array in zip(takes, inputs, strict=True):
                server.set_tensor(key, array)
        stored = Stored(f"{PREFIX}{name}", count, tuple(takes), len(model.outputs))
        self._stored[name] = stored
        self.models.append(
            SuiteModel(
                name=name,
                model=model.name,
                sha256=model.sha256,
                random_weights=model.random_weights,
                file_bytes=model.path.stat().st_size,
                parameters=model.parameters,
                multiply_adds=model.multiply_adds,
                keys=count,
                load_s=load_s,
                max_abs_difference=self._check(model, keys, inputs),
            )
        )

    def _check(self, model: Model, keys: list[str], inputs: list[Any]) -> float | None:
        """Run each key once and compare it; onnxruntime is gone again afterwards."""
        with deferred():
            oracle = None if self._server.is_null_server else verification.make_oracle(model)
            expected = oracle.run(inputs)[0] if oracle else None
            del oracle
        found = []
        for key in keys:
            with deferred():
                answer = self._server.infer(key, *inputs, outputs=len(model.outputs))
            found.append(verification.check_answer(model, expected, answer))
        return max((f for f in found if f is not None), default=None)

    def _session(self, kind: str, names: tuple[str, ...], *, clients: int) -> Outcome:
        self._tell(f"{kind}: {', '.join(names)}, clients: {clients} each")
        plans = [self._plan(name, clients) for name in names]
        ended, outcome = run_together(plans)
        for name, end in zip(names, ended, strict=True):
            self.sessions.append(_session(kind, name, clients, end))
        return outcome

    def _plan(self, name: str, clients: int) -> tuple[Plan, Job]:
        stream = stream_of(self._server, self._stored[name], clients)
        plan = Plan(
            streams=(stream,),
            threads=1,
            requests=clients * self._config.runs(name),
            timeout_ns=TIMEOUT_NS,
        )
        target = TargetInfo(url=self._server.target.url, kind="redisai")
        return plan, Job(stream=stream, target=target, name=name)

    def _look(self, step: str) -> None:
        """Note how much memory the server has now."""
        with deferred():
            used, resident = self._used_memory(), self._resident()
        self.memory.append(MemoryStep(step=step, used_memory_bytes=used, rss_bytes=resident))

    def _used_memory(self) -> int | None:
        try:
            told = self._server.execute("INFO", "MEMORY")
        except FastbenchError:  # also where the server is gone
            return None
        value = told.get("used_memory") if isinstance(told, dict) else None
        return value if isinstance(value, int) else None

    def _resident(self) -> int | None:
        pid = self._server.local_pid
        try:
            return None if pid is None else psutil.Process(pid).memory_info().rss
        except psutil.Error:
            return None


def _session(kind: str, model: str, clients: int, end: Ended) -> Session:
    fields, totals = end.measured.fields, end.measured.totals
    (thread,) = end.threads
    busy_ns = thread.user_ns + thread.system_ns
    return Session(
        kind=kind,
        model=model,
        clients=clients,
        measured_s=end.measured.measured_s,
        counts=fields["counts"],
        inferences_per_s=fields["inferences_per_s"],
        response_ms=fields["response_ms"],
        client_us_per_inference=busy_ns / 1e3 / totals.answered if totals.answered else None,
        client_busy=busy_ns / thread.elapsed_ns if thread.elapsed_ns else 0.0,
    )
