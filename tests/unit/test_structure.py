"""The house rules as tests: where code lives, who may use whom, what it may not do.

A failure says the rule and its reason. A rule that is wrong is changed here, with its reason.
"""

from __future__ import annotations

import ast
import graphlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
CSRC = ROOT / "csrc"
PACKAGE = ROOT / "src" / "fastbench"

#: What no rule looks into: made by tools, ignored by git (in a worktree .git is a file).
GENERATED = {".git", ".venv", "build", "dist", "results", "__pycache__", ".hypothesis"}

#: Where each Python module or subpackage stands: imports point to a lower floor.
FLOORS: list[set[str]] = [
    {"errors", "interrupts", "password", "wording"},
    {"bodies", "forms", "versioned"},
    {
        "cache",
        "comparison",
        "download",
        "config",
        "measured",
        "plan",
        "results",
        "targets",
        "topology",
    },
    {"suites", "sweeps"},
    {"littles_law", "saturations", "searches"},
    {"axes", "bisection", "knee"},
    {"_engine", "_netprobe", "_nullserver", "_pixels", "_wire"},
    {"latency", "schedules", "slo", "statistics", "streams"},
    {"steadiness"},
    {"config_file", "series", "summary"},
    {"doctor", "network", "compare", "verdict", "warnings"},
    {"journal"},
    {"salvage"},
    {"datasets", "models", "monitor", "report", "serve"},
    {"local_servers", "machine", "servers"},
    {"job", "nettest", "platform_info", "verification"},
    {"checker", "collector", "null_servers", "placement", "steps"},
    {"books"},
    {"check", "load", "repetition", "repository", "workloads"},
    {"calibrate", "figures", "sustained"},
    {"runner"},
    {"saturate", "study"},
    {"together"},
    {"search", "suite", "sweep"},
    {"fastbench"},  # the package itself: it only hands names on
    {"cli"},
    {"__main__"},
]

#: C files that another's test program shows at work.
COVERED_BY = {
    "dispatch": "worker",
    "flight": "conn",
    "link": "conn",
    "netserve": "netprobe",
    "nullgrpc_none": "grpc_none",
    "nullreplies": "nullconn",
    "results": "engine",
    "route": "chain",
    "selfsigned": "nulltls",
    "series": "engine",
}

#: Functions of csrc that may allocate or free: their names say that they set up or tear down.
SETS_UP = re.compile(
    r"_(new|init|populate|fini|free)$|^(admit|allocate|compile|copy|dismiss|free|init|make|resolve)(_|$)"
)

#: What is run, and what that sources.
SCRIPTS = sorted(p for p in (ROOT / "scripts").rglob("*") if p.is_file() and p.suffix != ".yaml")

#: A function of csrc where it is declared or called.
FUNCTION = r"\b(fb_\w+)\s*\("

#: Loaded by whoever needs them, never by ``fastbench --help``: together they take a second.
HEAVY = {"PIL", "hdrh", "numpy", "onnx", "onnxruntime", "plotly", "redis"}


def project_files(*suffixes: str) -> list[Path]:
    """Return the project's own files with these suffixes, sorted."""
    found: list[Path] = []
    for folder, names, files in os.walk(ROOT):
        names[:] = [n for n in names if n not in GENERATED and not n.endswith("_cache")]
        found += [
            Path(folder, f)
            for f in files
            if f not in GENERATED and (not suffixes or Path(f).suffix in suffixes)
        ]
    return sorted(found)


def relative(path: Path) -> str:
    """Return the path as seen from the top folder."""
    return path.relative_to(ROOT).as_posix()


def c_code(path: Path) -> str:
    """Return C source without comments and string literals."""
    text = re.sub(r"/\*.*?\*/", " ", path.read_text(), flags=re.DOTALL)
    return re.sub(r'"(\\.|[^"\\\n])*"', '""', text)


def c_functions(path: Path) -> list[tuple[str, str]]:
    """Return name and body of each function defined at the left margin, as the format has it."""
    heads = r"^\w[^\n;{}=]*?(\w+)\([^;{}]*\)\n\{\n(.*?)^\}"
    return re.findall(heads, c_code(path), flags=re.DOTALL | re.MULTILINE)


def c_modules() -> dict[str, set[str]]:
    """Return each module of csrc (``x.c`` and ``x.h`` together) with the modules it includes."""
    graph: dict[str, set[str]] = {}
    for path in sorted(CSRC.glob("*.[ch]")):
        names = set(re.findall(r'^#include "(\w+)\.h"', path.read_text(), flags=re.MULTILINE))
        graph.setdefault(path.stem, set()).update(names - {path.stem})
    return graph


def python_imports(path: Path) -> set[str]:
    """Return the top-level parts of fastbench that a Python file imports, itself left out."""
    own = relative(path).removeprefix("src/").removesuffix(".py").split("/")
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(own[: -node.level]) if node.level else ""
            module = ".".join(filter(None, (base, node.module)))
            names |= {f"{module}.{alias.name}" for alias in node.names}
    parts = {part_of(name) for name in names if name.split(".")[0] == "fastbench"}
    return parts - {part_of(".".join(own))}


def part_of(dotted: str) -> str:
    """Return the module or subpackage under fastbench that a dotted name belongs to."""
    part = dotted.split(".")[1] if "." in dotted else ""
    stands = (PACKAGE / part).is_dir() or list(PACKAGE.glob(f"{part}.*"))
    return part if part and part != "__init__" and stands else "fastbench"


PYTHON_FILES = sorted(PACKAGE.rglob("*.py"))
TEST_FILES = sorted((ROOT / "tests").rglob("*.py"))
HINT = re.compile(
    r"#(?: ruff:)? (?:noqa(?:: [A-Z]+\d+(?:, ?[A-Z]+\d+)*)?|type: ignore(?:\[[^]]*\])?)"
)
C_FILES = sorted(CSRC.glob("*.[ch]"))


@pytest.mark.parametrize("path", PYTHON_FILES, ids=relative)
def test_python_imports_point_down(path: Path) -> None:
    """No module knows those above it, so that each can be read, tested and replaced alone."""
    floor_of = {name: floor for floor, names in enumerate(FLOORS) for name in names}
    own = part_of(relative(path).removeprefix("src/").removesuffix(".py").replace("/", "."))

    assert own in floor_of, f"{own} has no floor yet: give it one in FLOORS"
    for other in python_imports(path):
        assert floor_of[other] < floor_of[own], (
            f"{relative(path)} imports fastbench.{other}, which is not below {own}: "
            "imports point down; move the code, or pass in what it needs"
        )


def test_help_loads_nothing_heavy() -> None:
    """``fastbench --help`` answers at once, so libraries are loaded by those who use them."""
    program = (
        "import sys\nfrom fastbench.cli import main\nsys.argv = ['fastbench', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print(sorted({HEAVY!r} & set(sys.modules)))"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True
    )

    assert done.stdout.splitlines()[-1] == "[]"


def test_c_includes_have_no_circle() -> None:
    """The modules of csrc stand in floors: whatever one needs can be read before it."""
    graph = c_modules()

    order = list(graphlib.TopologicalSorter(graph).static_order())

    assert set(order) == set(graph), f"included but not in csrc: {set(order) - set(graph)}"
    assert not graph["base"], "base.h is the ground floor: it includes no other module"


@pytest.mark.parametrize("path", C_FILES, ids=relative)
def test_c_knows_no_python(path: Path) -> None:
    """Csrc builds, tests and runs without Python, so that it needs no lock of the interpreter."""
    assert "Python.h" not in path.read_text()


@pytest.mark.parametrize("path", C_FILES, ids=relative)
def test_c_reports_by_return_code(path: Path) -> None:
    """A library neither prints nor ends the process: the caller decides what an error means."""
    called = re.findall(
        r"\b(printf|fprintf|puts|putchar|perror|exit|_exit|abort|system)\s*\(", c_code(path)
    )

    assert called == [], "return a code and fill fb_error instead"


@pytest.mark.parametrize("path", sorted(CSRC.glob("*.c")), ids=relative)
def test_c_allocates_only_to_set_up(path: Path) -> None:
    """What runs per request neither allocates nor frees: its cost would show in the latencies."""
    allocating = [
        name
        for name, body in c_functions(path)
        if re.search(r"\b(malloc|calloc|realloc|strdup|aligned_alloc|free)\s*\(", body)
    ]

    assert [name for name in allocating if not SETS_UP.search(name)] == []


@pytest.mark.parametrize("path", sorted(CSRC.glob("*.c")), ids=relative)
def test_c_module_has_a_test_program(path: Path) -> None:
    """Each module is tested on its own, so that a failure points at one file."""
    names = {f"test_{path.stem}.c", f"test_{COVERED_BY.get(path.stem, path.stem)}.c"}
    programs = {program.name for program in (ROOT / "tests" / "c").glob("test_*.c")}

    assert names & programs, f"write tests/c/test_{path.stem}.c, or name another in COVERED_BY"


@pytest.mark.parametrize("path", sorted(CSRC.glob("*.h")), ids=relative)
def test_c_header_opens_with_its_story(path: Path) -> None:
    """A header says first what it is, who owns the memory and who may call: it is the manual."""
    assert path.read_text().startswith("/* ")
    assert f"#ifndef FB_{path.stem.upper()}_H" in path.read_text()


def test_declarations_for_cython_are_those_of_the_headers() -> None:
    """What Cython is told about C stands in the header named, and the engine's face is whole."""
    declared: dict[str, set[str]] = {}
    for path in [*PACKAGE.glob("*.px[di]"), *PACKAGE.glob("*.pyx")]:
        text = re.sub(r"#.*", "", path.read_text())
        blocks = re.split(r'cdef extern from "(\w+)\.h".*:', text)
        for header, block in zip(blocks[1::2], blocks[2::2], strict=True):
            extern = re.split(r"\n(?=\S)", block)[0]
            declared.setdefault(header, set()).update(re.findall(FUNCTION, extern))

    assert "fastbench" in declared
    for header, functions in declared.items():
        there = set(re.findall(FUNCTION, c_code(CSRC / f"{header}.h")))
        assert functions <= there, f"not in csrc/{header}.h: {functions - there}"
        assert header != "fastbench" or functions == there, f"missing: {there - functions}"


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*.pyx")), ids=relative)
def test_extension_is_never_called_back(path: Path) -> None:
    """C calls no Python: worker threads then never wait for the interpreter's lock."""
    assert not re.search(r"\bwith gil\b", path.read_text())
    assert path.with_suffix(".pyi").exists(), "an extension module needs its stub"


def test_ignored_lint_rules_have_reasons() -> None:
    """Every rule that is off has its reason beside it, so that it can be judged again later."""
    text = (ROOT / "pyproject.toml").read_text()
    lint = text[text.index("[tool.ruff.lint]") : text.index("[tool.ruff.lint.flake8")]
    rules = [line for line in lint.splitlines() if re.match(r'\s+"[A-Z]+\d*",', line)]

    assert len(rules) > 5
    assert [line for line in rules if not re.search(r"# \w.{5,}", line)] == []


@pytest.mark.parametrize("path", [*PYTHON_FILES, *TEST_FILES], ids=relative)
def test_hints_to_checkers_have_reasons(path: Path) -> None:
    """A comment that quiets a checker on its line says there why that is right."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        for hint in HINT.finditer(line):
            assert re.search(r"\w{2}.*\w", line[hint.end() :]), (
                f"{relative(path)}:{number}: {hint[0]} without a reason: say why, or do without it"
            )


@pytest.mark.parametrize("path", SCRIPTS, ids=relative)
def test_script_is_short_and_says_what_it_does(path: Path) -> None:
    """The folder of scripts is the developer's menu: each is one screen and opens with its use."""
    lines = path.read_text().splitlines()
    program = path.suffix != ".sh"

    assert os.access(path, os.X_OK) == program
    assert lines[0].startswith("#!") or not program
    assert lines[program].startswith(("# ", '"""'))
    assert len(lines) <= 40 or not program or "python" in lines[0]


@pytest.mark.parametrize("path", project_files(".md"), ids=relative)
def test_document_links_lead_somewhere(path: Path) -> None:
    """A relative link in a document names a file that exists."""
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text())

    local = [link for link in links if "://" not in link and not link.startswith("mailto:")]
    assert [link for link in local if not (path.parent / link).exists()] == []


def test_project_names_no_private_place() -> None:
    """Nothing refers to somebody's machine: everything a reader needs stands in the project."""
    private = re.compile(r"/(?:work|home/\w+|root|Users)/|\.\./shared\b")
    named = [
        f"{relative(path)}: {line.strip()}"
        for path in project_files(
            ".c", ".h", ".py", ".pyx", ".pyi", ".pxd", ".pxi", ".md", ".toml", ".sh", ""
        )
        if path != Path(__file__) and "corpus" not in path.parts and path.name != ".gitignore"
        for line in path.read_text(errors="replace").splitlines()
        if private.search(line)
    ]

    assert named == []
