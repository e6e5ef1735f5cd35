"""What surrounds the numbers: doubts, errors, the machine, and what was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from fastbench.bodies import bodies_of
from fastbench.report import numbers
from fastbench.report.html.elements import Html, advice, element, join, table
from fastbench.report.html.plots import Section
from fastbench.summary import total_counts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fastbench.results import Result

#: Options that mean nothing where rows are the bodies of requests, and those that do only there.
REDISAI_ONLY: Final = (
    *("form", "dialect", "device", "persist", "script", "models", "server_timeout_ms"),
    *("server_batch", "server_min_batch", "server_min_batch_timeout_ms"),
)
BODY_ONLY: Final = ("body", "headers", "shm")

#: Each number of the page in a sentence, and when not to trust it.
TERMS: Final = {
    "inferences/s": "Successes received during measure, divided by its length. Not to be trusted "
    "where the run is short, where repetitions differ by more than 10 %, or where the verdict is "
    "not client-ok.",
    "response time": "From the instant at which an inference was due (closed loop: at which its "
    "slot came free) to its reply: what a user waits. Not to be trusted where the client was busy: "
    "then it contains waiting inside the client.",
    "service time": "From sending to the reply: what server and network take. Not to be taken for "
    "what a user waits: it leaves out the time before sending.",
    "send lag": "How long after it was due an inference was sent, in an open loop. Large values "
    "mean that server, connections or client could not hold the rate.",
    "reply lag": "How long a reply lay in the kernel before the client read it; where it is not "
    "small beside the service time, the client was late.",
    "p99 and other quantiles": "The time that 99 % of the inferences stayed within, those without "
    "a reply counted as slowest. Not to be trusted with fewer than 10 samples above it (“~”).",
    "median over repetitions": "The middle of the repetitions' values. Three medians of p99 are "
    "not the p99 of all inferences together, which the spectrum shows.",
    "client CPU per inference": "CPU time of the worker threads during measure, divided by the "
    "replies in that time. Not comparable between machines, or where clock frequencies vary.",
}


def warnings_section(result: Result) -> Section:
    """Return the doubts about the result, each with what to do."""
    doubts = [
        element(
            "li",
            element("strong", w.code),
            ": ",
            advice(f"{w.message}; {w.advice}" if w.advice else w.message),
        )
        for w in result.warnings
    ]
    content = element("ul", *doubts, class_="warnings") if doubts else element("p", "No warnings.")
    return Section("warnings", "Warnings", content)


def errors_section(result: Result) -> Section | None:
    """Return errors by class with the first text of each; None where there is none."""
    classes = total_counts([r.counts for r in result.repetitions]).errors_by_class
    if not classes:
        return None
    ranked = sorted(classes.items(), key=lambda item: -item[1].count)
    rows = [(name, numbers.count(e.count), e.first_text or "-") for name, e in ranked]
    content = table(("class", "how many", "first text"), rows, class_="text")
    return Section("errors", "Errors by class", content)


def about_section(result: Result) -> Section:
    """Return target, dataset, configuration and the client's machine, as they were recorded."""
    parts: dict[str, Any] = {
        "Target": msgspec.to_builtins(result.target),
        "Dataset": msgspec.to_builtins(result.dataset),
        "Configuration": applying(result.config, [result.target.url]),
        "Client's machine": result.platform,
    }
    tables = (
        join((element("h3", title), table(("name", "value"), rows, class_="text")))
        for title, data in parts.items()
        if (rows := list(_flat(data)))
    )
    return Section("about", "Platform and configuration", join(tables))


def plan_section(config: dict[str, Any], targets: Sequence[str]) -> Section:
    """Return what was asked for, where a page is of several runs; ``targets``: of all of them."""
    content = table(("name", "value"), list(_flat(applying(config, targets))), class_="text")
    return Section("about", "Configuration", content)


def applying(config: dict[str, Any], targets: Sequence[str]) -> dict[str, Any]:
    """Return the options that mean something for ``targets``, where these are known."""
    if not targets or config.get("streams"):
        return config
    bodies = [bool(bodies_of(target)) for target in targets]
    none = (*(REDISAI_ONLY if all(bodies) else ()), *(() if any(bodies) else BODY_ONLY))
    return {name: value for name, value in config.items() if name not in none}


def terms_section(say: Callable[[str], str]) -> Section:
    """Return how to read each number, and when not to trust it; ``say``: its words for a run."""
    terms = (
        join((element("dt", say(name)), element("dd", say(meaning))))
        for name, meaning in TERMS.items()
    )
    return Section("terms", "How to read the numbers", element("dl", *terms, class_="terms"))


def _flat(data: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield dotted name and text of each value that is not empty."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield from _flat(value, f"{name}.{key}" if name else str(key))
    elif data not in (None, "", [], ()):
        yield name, data if isinstance(data, str) else msgspec.json.encode(data).decode()


def fact_list(lines: list[tuple[str, str]]) -> Html:
    """Return names and texts as a list of definitions."""
    pairs = (join((element("dt", name), element("dd", text))) for name, text in lines)
    return element("dl", *pairs, class_="facts")
