"""The documentation says what is there, all of it, and nothing that is gone."""

import ast
import importlib
import inspect
import re
import subprocess
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest

from end_to_end.instance import Instance, LabelSet, running
from opstrace import homes
from opstrace.cli import main as command
from opstrace.config import Config, Limits
from opstrace.config_document import struct_of_list, struct_of_mapping
from opstrace.errors import INTAKE_STATUS, QUERY_STATUS
from opstrace.intake.ci_questions import CI_QUESTIONS
from opstrace.intake.routes import ENDPOINTS as DATADOG
from opstrace.intake.series.judgement import REASONS
from opstrace.intake.validation import VALIDATE, VALIDATIONS
from opstrace.promql import signatures
from opstrace.promql.engine import Engine
from opstrace.promql.parser import PRECEDENCE
from opstrace.store.engine import SCHEMA_VERSION, statement
from opstrace.telemetry import Telemetry
from opstrace.web import datadog_events, datadog_hosts
from opstrace.web.prometheus import ENDPOINTS as PROMETHEUS
from opstrace.web.query_pool import QueryLimits

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "src" / "opstrace"
DOCS = ROOT / "docs"

# ---------------------------------------------------------------------------------------------------------------
# Reading pages


def page(name: str) -> str:
    """Return a page's text."""
    return (DOCS / f"{name}.md").read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    """Return what stands below a heading, up to the next one of its level or above."""
    found = re.search(rf"^(#+) {re.escape(heading)}\n(.*?)(?=^#{{1,2}} |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"no heading {heading!r}"
    return found[2]


def rows(text: str) -> list[list[str]]:
    """Return the cells of all tables of a text, without the tables' heads."""
    lines = [line.strip() for line in re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL).splitlines()]
    rules = {number for number, line in enumerate(lines) if re.fullmatch(r"\|(\s*:?-+:?\s*\|)+", line)}
    heads = {number - 1 for number in rules}
    tables = [line for number, line in enumerate(lines) if line.startswith("|") and number not in rules | heads]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in tables]


def codes(cell: str) -> list[str]:
    """Return the code spans of a cell."""
    return re.findall(r"`([^`]+)`", cell)


def code(cell: str) -> str:
    """Return the first code span of a cell, or nothing."""
    return next(iter(codes(cell)), "")


def by_name(table: Sequence[Sequence[str]]) -> dict[str, Sequence[str]]:
    """Return rows by the code of their first cell; no name comes twice."""
    named = {code(row[0]): row for row in table}
    assert len(named) == len(table), "a name stands twice"
    return named


def tracked(*patterns: str) -> list[Path]:
    """Return the files of the repository that are tracked, or about to be."""
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run([*command, "--", *patterns], cwd=ROOT, capture_output=True, check=True, text=True)
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


PAGES = tracked("*.md")


def page_id(path: Path) -> str:
    return str(path.relative_to(ROOT))


# ---------------------------------------------------------------------------------------------------------------
# Config and limits


def config_keys(kind: type[msgspec.Struct], prefix: str) -> Iterator[str]:
    """Yield every key of a part of the config, those of its own parts after it."""
    for field in msgspec.structs.fields(kind):
        yield f"{prefix}{field.name}"
        inner = struct_of_list(field.type) or struct_of_mapping(field.type) or field.type
        if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            yield from config_keys(inner, f"{prefix}{field.name}.")


def test_every_config_key_is_documented() -> None:
    """Each key has its place on the page, and each key in a table's first column exists."""
    keys = set(config_keys(Config, ""))
    text = page("configuration")
    shown = {name for row in rows(text) for name in codes(row[0])}
    shown |= {name for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE) for name in codes(heading)}
    shown |= {f"limits.{name}" for name in shown if f"limits.{name}" in keys}
    assert keys - shown == set()
    assert shown - keys <= {name.removeprefix("limits.") for name in keys}


def test_config_limits() -> None:
    """limits.md has each key of the section `limits`, with its default."""
    table = by_name(rows(section(page("limits"), "Set in the config")))
    defaults = {field.name: float(field.default) for field in msgspec.structs.fields(Limits)}
    assert {name: float(code(row[1])) for name, row in table.items()} == defaults


# A number at the top of a module bounds something if its name says so, or says a unit; but for these.
LIMIT = re.compile(r"(?:^|_)(?:MAX|MOST|LIMIT)_|_(?:DEPTH|S|MS|BYTES|SAMPLES|ENTRIES|POINTS|FIELDS|DAYS)$")
NOT_LIMITS = {
    "_DAY_S": "a unit",
    "_LATE_S": "what is called late",
    "_NO_POINTS": "a number for a reason",
    "_HOUR_MS": "a unit",
    "EARLIEST_MS": "what 64 bits hold",
    "LATEST_MS": "what 64 bits hold",
    "_LONGEST_MS": "what 64 bits hold",
    "_LATEST_S": "what a date can be",
    "_MOST_WHOLE": "what a double holds",
    "_END_MS": "a time after all",
}
# What the config sets of the limits of queries.
SET_BY_CONFIG = {"max_samples", "max_series", "max_memory_bytes", "timeout_s", "concurrency"}


def constants() -> Iterator[tuple[tuple[str, str], float]]:
    """Yield the numbers of our modules that bound something, by file and name."""
    for path in sorted(SOURCES.rglob("*.py")):
        where = str(path.relative_to(SOURCES))
        tree = ast.parse(path.read_text(encoding="utf-8"))
        written = [node for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign)]
        targets = [
            one for node in written for one in (node.targets if isinstance(node, ast.Assign) else [node.target])
        ]
        names = [target.id for target in targets if isinstance(target, ast.Name) and LIMIT.search(target.id)]
        if names:
            module = importlib.import_module(".".join(path.relative_to(ROOT / "src").with_suffix("").parts))
            values = ((name, getattr(module, name)) for name in names)
            yield from (((where, name), value) for name, value in values if type(value) in (int, float))


def test_fixed_limits() -> None:
    """limits.md has each number of the code that bounds something, with its value."""
    known = {place: value for place, value in constants() if place[1] not in NOT_LIMITS}
    known |= {
        ("web/query_pool.py", name): value
        for name, value in asdict(QueryLimits()).items()
        if name not in SET_BY_CONFIG
    }
    parameters = inspect.signature(Engine).parameters.values()
    known |= {("promql/engine.py", parameter.name): parameter.default for parameter in parameters}
    table = [row for row in rows(page("limits")) if code(row[1]).endswith(".py")]
    shown = {(code(row[1]), code(row[0])): float(code(row[2])) for row in table}
    assert shown == known
    assert len(shown) == len(table)


def test_what_is_no_limit_is_there() -> None:
    """The list of numbers that bound nothing names none that is gone."""
    assert set(NOT_LIMITS) <= {name for (_, name), _ in constants()}


# ---------------------------------------------------------------------------------------------------------------
# Routes and statuses


def test_datadog_routes() -> None:
    """routes.md has each path of the intake with status, answer and whether it is stored."""
    table = by_name(rows(section(page("routes"), "Datadog's API")))
    validate = table.pop("/api/v1/validate")
    assert validate[2:4] == ["200", '`{"valid":true}`']
    asked = [path for path in (*VALIDATIONS, *CI_QUESTIONS) if path != VALIDATE]
    assert [table.pop(path)[2] for path in asked] == ["200"] * 4
    assert table.keys() == DATADOG.keys()
    for path, endpoint in DATADOG.items():
        _, methods, status, answer, stored = table[path]
        assert methods == ("GET, HEAD, POST" if endpoint.asked else "POST"), path
        assert int(status) == endpoint.status, path
        assert stored.startswith("yes") == bool(endpoint.families), path
        if endpoint.media_type == "application/json":
            assert code(answer).encode() == endpoint.answer, path
        else:
            assert answer == f"{len(endpoint.answer)} bytes of `{endpoint.media_type}`", path


def test_datadog_reading_routes() -> None:
    """routes.md has each path that reads, or changes what people say of a host, with its method."""
    table = rows(section(page("routes"), "Datadog's API, read"))
    # What answers is of no matter here, and is not called.
    nothing: Any = None
    known = [*datadog_hosts.endpoints(nothing), *datadog_events.endpoints(nothing)]
    assert [(row[1], code(row[0])) for row in table] == [(method, path) for method, path, _, _ in known]


def test_prometheus_routes() -> None:
    """routes.md has each path of the query API with its methods."""
    table = by_name(rows(section(page("routes"), "Prometheus's API")))
    shown = {path: row[1].split(", ") for path, row in table.items()}
    assert shown == {re.sub(r"\{(\w+):anything\}", r"<\1>", path): list(methods) for path, methods, _ in PROMETHEUS}


def test_other_routes() -> None:
    """routes.md has each route that is written out in the code."""
    written = {
        node.args[0].value
        for path in SOURCES.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Route"
        if isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str)
    }
    assert by_name(rows(section(page("routes"), "Others"))).keys() == written


def test_statuses() -> None:
    """routes.md has each status of the two tables of errors.py."""
    text = section(page("routes"), "Statuses")
    intake, queries = text.split("Under `/prometheus`")
    assert {int(row[0]) for row in rows(intake)} == {202, *INTAKE_STATUS.values()}
    unavailable = (503, "unavailable")
    assert {(int(row[0]), code(row[1])) for row in rows(queries)} == {unavailable, *QUERY_STATUS.values()}


def test_reasons() -> None:
    """The reasons of refusals are the same in the code and on both pages."""
    bodies, points = section(page("telemetry"), "Reasons").split("Why a body was refused")[::-1]
    assert {code(row[0]): int(row[1]) for row in rows(bodies)} == {
        kind.reason: status for kind, status in INTAKE_STATUS.items()
    }
    reasons = set(REASONS.values()) - {"stored", "no_points"}  # a series has none, not a point
    assert by_name(rows(points)).keys() == reasons
    assert {code(row[2]) for row in rows(section(page("translation"), "Points"))} - {""} == reasons


def test_reasons_of_dogstatsd() -> None:
    """dogstatsd.md has each reason for which a line is refused."""
    sources = "".join(path.read_text(encoding="utf-8") for path in (SOURCES / "dogstatsd").glob("*.py"))
    named = re.findall(r'(?:Malformed|refuse)\(f?"([a-z_]+)(s?)', sources)
    # What is put together, not written out.
    known = {name for name, _ in named} - {"too_many_"} | {"too_many_events", "too_many_service_checks"}
    known |= {"truncated", "unterminated"}
    shown = {name for row in rows(section(page("dogstatsd"), "What is refused")) for name in codes(row[0])}
    assert shown == known


# ---------------------------------------------------------------------------------------------------------------
# Self-metrics, commands, PromQL


def test_self_metrics() -> None:
    """telemetry.md has each metric of the registry with its type and labels."""
    telemetry = Telemetry()
    ours = set(telemetry.metrics)
    labels = {next(iter(metric.describe())).name: list(metric._labelnames) for metric in ours}
    registered = {
        f"{family.name}_total" if family.type == "counter" else family.name: (
            family.type,
            labels.get(family.name, []),
        )
        for family in telemetry.registry.collect()
    }
    table = by_name(rows(section(page("telemetry"), "The catalogue")))
    assert {name: (row[1], codes(row[2])) for name, row in table.items()} == registered


def test_pages_name_only_metrics_that_exist() -> None:
    """Whatever looks like a metric of ours on any page is one."""
    known = set(by_name(rows(section(page("telemetry"), "The catalogue"))))
    known |= {f"{name}_{part}" for name in known for part in ("bucket", "sum", "count")}
    named = {
        name
        for path in PAGES
        for name in re.findall(r"\b(?:dd_api|opstrace)_[a-z_]+\b", path.read_text(encoding="utf-8"))
        if not re.search(rf"import {name}|/{name}", path.read_text(encoding="utf-8"))
    }
    assert named - known == set()


def commands(group: click.Group, prefix: str) -> Iterator[tuple[str, click.Command]]:
    """Yield every command that people call with the words that call it."""
    for name, found in group.commands.items():
        words = f"{prefix} {name}"
        if isinstance(found, click.Group):
            yield from commands(found, words)
        elif not found.hidden:
            yield words, found


def test_commands() -> None:
    """cli.md has a heading for each command, and none for another."""
    headings = re.findall(r"^#+ `?(opstrace [a-z -]*[a-z])", page("cli"), re.MULTILINE)
    known = [words for words, _ in commands(command, "opstrace")]
    called = {
        next((words for words in known if f"{heading} ".startswith(f"{words} ")), heading) for heading in headings
    }
    assert called == set(known)


def test_promql() -> None:
    """promql.md has each function, aggregation and operator, and no other."""
    text = page("promql")
    functions = {match for row in rows(section(text, "Functions")) for match in re.findall(r"`(\w+)\(", row[0])}
    aggregations = {match for row in rows(section(text, "Aggregations")) for match in re.findall(r"`(\w+)\(", row[0])}
    assert functions == signatures.SIGNATURES.keys()
    assert aggregations == signatures.AGGREGATIONS.keys()
    named = set(codes(section(text, "Operators")))
    assert PRECEDENCE.keys() <= named
    assert {name for name in named if re.fullmatch(r"[-+*/%^<>=!]+", name)} <= PRECEDENCE.keys()


# ---------------------------------------------------------------------------------------------------------------
# Dependencies and format


def normal(requirement: str) -> str:
    """Return the name of a requirement as the packaging rules compare it."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name, requirement
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def test_dependencies() -> None:
    """dependencies.md has each package that is installed, under what brings it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = {"Run time": project["project"]["dependencies"], "Development": project["dependency-groups"]["dev"]}
    pinned = [(ROOT / name).read_text(encoding="utf-8") for name in ("requirements.txt", "requirements-dev.txt")]
    everything = {normal(line) for text in pinned for line in text.splitlines() if line}
    direct = {normal(requirement) for group in wanted.values() for requirement in group}
    for heading, requirements in wanted.items():
        shown = {normal(name) for name in by_name(rows(section(page("dependencies"), heading)))}
        assert shown == {normal(requirement) for requirement in requirements}
    shown = {normal(name) for name in by_name(rows(section(page("dependencies"), "What comes with them")))}
    assert shown == everything - direct


# In memory, and so on no page of columns.
UNSTORED = {"seen"}
TABLE = re.compile(r"^CREATE TABLE IF NOT EXISTS (\w+)\s*\((.*?)\)\s*ENGINE", re.MULTILINE | re.DOTALL)
COLUMN = re.compile(r"^ {4}(\w+) +(\w+(?:\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\))?)", re.MULTILINE)


def test_format() -> None:
    """format.md has each table on disk, each column of it with its type, and the versions."""
    tables = {
        name: body for name, body in TABLE.findall(statement("opstrace.store", "schema")) if name not in UNSTORED
    }
    assert set(re.findall(r"^## Table (\w+)$", page("format"), re.MULTILINE)) == tables.keys()
    for name, body in tables.items():
        shown = by_name(rows(section(page("format"), f"Table {name}")))
        assert [(column, code(row[1])) for column, row in shown.items()] == COLUMN.findall(body)
    versions = by_name(rows(section(page("format"), "Versions")))
    assert list(versions)[-1] == str(SCHEMA_VERSION)
    assert f"the format of these files (`{homes.FORMAT}`)" in page("format")


# ---------------------------------------------------------------------------------------------------------------
# Pages among each other


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings."""
    plain = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", plain, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_links_lead_somewhere(path: Path) -> None:
    """A relative link names a file that is there, and a heading that is in it."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|srcset|href)="([^"]+)"', text)
    for link in links:
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), link


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_files_that_pages_name_are_there(path: Path) -> None:
    """A path of a source file in a page is one, from the root or from the package."""
    named = re.findall(r"`([\w.-][\w./-]*/[\w.-]+\.(?:py|sql|proto|md|yaml|sh))`", path.read_text(encoding="utf-8"))
    places = (ROOT, SOURCES, path.parent)
    assert [name for name in named if not any((place / name).exists() for place in places)] == []


def test_every_page_is_reached_from_the_readme() -> None:
    """The README links to each page of docs/."""
    linked = set(re.findall(r"\]\(docs/([\w-]+)\.md", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert linked == {path.stem for path in DOCS.glob("*.md")}


def test_readme_has_the_two_commands() -> None:
    """The two commands stand in the README as a user types them, and what they name is there."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = "\n".join(re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    lines = [line.strip() for line in blocks.splitlines()]
    assert "./opstrace create local datadogdemo -c examples/config.yaml" in lines
    assert "scripts/test" in lines
    for name in ("opstrace", "examples/config.yaml", "scripts/test"):
        assert (ROOT / name).is_file()


def test_version_has_its_entry() -> None:
    """The changelog speaks of what is not released yet, or of this version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    headings = re.findall(r"^## \[?([\w.]+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] in ("Unreleased", project["project"]["version"])


# What belongs to one machine, or to one way of fetching packages, and to no file of ours.
FOREIGN = {
    "an absolute path of a machine": re.compile(
        rf"(?<![\w.$}}~-])(?:{re.escape(str(ROOT))}|/(?:home|root|Users|work)/\w)"
    ),
    "the host of a package registry": re.compile(
        r"pypi[.]org|pythonhosted[.]org|npmjs[.](?:org|com)|yarnpkg[.]com|crates[.]io|golang[.]org"
        r"|rubygems[.]org|debian[.]org|anaconda[.](?:org|com)|jsdelivr[.]net|unpkg[.]com"
    ),
}
LOCK_FILES = ("requirements*.txt", "*lock.json", "*.lock")


@pytest.mark.parametrize("what", FOREIGN)
def test_nothing_of_one_machine(what: str) -> None:
    """No tracked file holds it."""
    found = [
        f"{page_id(path)}: {match[0]}"
        for path in tracked()
        if (match := FOREIGN[what].search(path.read_bytes().decode("utf-8", "replace")))
    ]
    assert found == []


def test_lock_files_name_no_address() -> None:
    """Files that pin dependencies say what, not from where."""
    files = tracked(*LOCK_FILES)
    assert {path.name for path in files} >= {"requirements.txt", "requirements-dev.txt"}
    assert [page_id(path) for path in files if "://" in path.read_text(encoding="utf-8")] == []


# ---------------------------------------------------------------------------------------------------------------
# Examples that are run

# The moment that stands in examples for a minute ago.
EXAMPLE_S = 1795521600
WINDOW_S = 600
POST = r"^```http\nPOST (\S+)\n\n((?:(?!^```).)*)^```\n+"
EXAMPLE = re.compile(rf"((?:{POST})+)^```text\n(.*?)^```", re.MULTILINE | re.DOTALL)
RESULT = re.compile(r"(?P<name>\w+)\{(?P<labels>.*)\} (?P<value>\S+) @ (?P<time>\S+)")
EXAMPLES = [
    (re.findall(POST, posts, re.MULTILINE | re.DOTALL), results)
    for posts, *_, results in EXAMPLE.findall(page("translation"))
]


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    with running(tmp_path_factory.mktemp("docs"), "docs", {"tenants": ["default"]}) as started:
        yield started


def written(results: str, shift_s: int) -> Mapping[LabelSet, Mapping[int, str]]:
    """Return the samples of an example's result, moved in time."""
    found: dict[LabelSet, dict[int, str]] = {}
    for line in results.splitlines():
        match = RESULT.fullmatch(line)
        assert match, line
        labels = {"__name__": match["name"], **dict(re.findall(r'(\w+)="([^"]*)"', match["labels"]))}
        time_ms = int((Decimal(match["time"]) + shift_s) * 1000)
        found.setdefault(frozenset(labels.items()), {})[time_ms] = match["value"]
    return found


@pytest.mark.parametrize(("posts", "results"), EXAMPLES, ids=[str(n) for n in range(len(EXAMPLES))])
def test_translation_examples(posts: list[tuple[str, str]], results: str, instance: Instance) -> None:
    """What translation.md sends becomes what it says, all of it and nothing else."""
    now_s = int(time.time())
    shift_s = now_s - 60 - EXAMPLE_S
    headers = {"DD-API-KEY": instance.key(), "Content-Type": "application/json"}
    for route, body in posts:
        content = re.sub(r"\b17955216\d\d\b", lambda match: str(int(match[0]) + shift_s), body)
        assert instance.send("POST", route, content.encode(), headers).status == 202
    expected = written(results, shift_s)
    names = {dict(labels)["__name__"] for labels in expected}
    found = instance.samples(f'{{__name__=~"{"|".join(names)}"}}', now_s, WINDOW_S)
    assert found == expected


def test_most_sections_of_the_translation_have_an_example() -> None:
    """The examples were found: one that loses its form would not be run any more."""
    assert sum(len(posts) for posts, _ in EXAMPLES) == page("translation").count("```http")
