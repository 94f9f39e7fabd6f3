"""Imports run one way, down the table below, and each part of the outside that matters has one door."""

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = "opstrace"
SOURCES = Path(__file__).parents[1] / "src" / PACKAGE

# From top to bottom. A unit (a module or a package directly below opstrace) imports what is in rows further down,
# and a package its own modules. `opstrace` is the package's own __init__.
ROWS = (
    ("__main__",),
    ("cli",),
    ("admin_client", "grafana", "query_client", "startup"),
    ("probe",),
    ("client",),
    ("server_process",),
    ("app",),
    ("administration", "self_monitoring", "upkeep"),
    ("changes", "dogstatsd", "intake", "web"),
    ("agent_settings", "estate", "roster"),
    ("certificates", "token_files"),
    ("datadog", "promql"),
    ("store",),
    ("listeners",),
    ("access", "handshakes", "instance", "ports", "tls"),
    ("homes",),
    ("config", "connections", "recurring", "telemetry", "tenants"),
    ("config_document", "protobuf_wire"),
    (
        "allocator",
        "atomic_file",
        "errors",
        "golang",
        "log_lines",
        "nesting",
        "opstrace",
        "ragged",
        "right_of_way",
        "routing",
        "transport",
        "unneeded",
    ),
)
ROW_OF = {unit: number for number, units in enumerate(ROWS) for unit in units}

# The packages inside of `intake`, from top to bottom likewise. They know of each other no more than this, and of the
# modules beside them those that know nothing of packages.
INTAKE_ROWS = (("otlp",), ("remote_write",), ("documents", "logs", "series"))

# Who alone may import what: modules of other people, and ours.
DOORS = {
    "chdb": {"opstrace.store.engine"},
    "opstrace.cli": {"opstrace.__main__"},
    "opstrace.app": {"opstrace.cli.instances"},
}


def name_of(path: Path) -> str:
    """Return a file's module name."""
    parts = path.relative_to(SOURCES.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def unit_of(module: str) -> str:
    """Return the unit a module of ours belongs to."""
    return module.split(".")[1] if "." in module else module


def imported(tree: ast.AST, modules: Mapping[str, Path]) -> Iterator[str]:
    """Yield every module that a file imports, anywhere in it; `from package import module` is that module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (name if name in modules else str(node.module) for name in names)


MODULES = {name_of(path): path for path in sorted(SOURCES.rglob("*.py"))}
IMPORTS = {
    module: set(imported(ast.parse(path.read_text(encoding="utf-8")), MODULES)) for module, path in MODULES.items()
}


def test_every_unit_has_its_row_and_every_row_its_units() -> None:
    """A new module takes its place in the table, one that went leaves it."""
    assert sorted(ROW_OF) == sorted({unit_of(module) for module in MODULES})


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_down(module: str) -> None:
    """No module imports from its own row or from one above, but a package's modules each other."""
    unit = unit_of(module)
    others = {unit_of(one) for one in IMPORTS[module] if one.partition(".")[0] == PACKAGE} - {unit}
    assert [other for other in sorted(others) if ROW_OF[other] <= ROW_OF[unit]] == []


@pytest.mark.parametrize("package", [name for row in INTAKE_ROWS for name in row])
def test_packages_of_the_intake(package: str) -> None:
    """Each imports packages below its own, and modules beside the packages that import none of them."""
    above = next(number for number, row in enumerate(INTAKE_ROWS) if package in row)
    inside = {name: "opstrace.intake." + name for row in INTAKE_ROWS for name in row}
    allowed = {inside[name] for row in INTAKE_ROWS[above + 1 :] for name in row} | {inside[package]}
    own = [module for module in MODULES if module.startswith(inside[package] + ".")]
    assert own
    for module in own:
        for name in IMPORTS[module]:
            if not name.startswith("opstrace.intake."):
                continue
            of_package = ".".join(name.split(".")[:3])
            if of_package in inside.values():
                assert of_package in allowed, f"{module} imports {name}"
            else:
                shared = {".".join(one.split(".")[:3]) for one in IMPORTS[name]}
                assert not shared & set(inside.values()), f"{module} imports {name}, which imports packages"


def test_no_cycles() -> None:
    """Modules can be read in an order in which each needs only what was read before."""
    try:
        TopologicalSorter(IMPORTS).prepare()
    except CycleError as error:
        pytest.fail(f"modules import each other in a circle: {' → '.join(error.args[1])}")


@pytest.mark.parametrize("door", DOORS)
def test_one_door(door: str) -> None:
    """What has one door is imported there, and nowhere else."""
    through = {
        module
        for module, names in IMPORTS.items()
        if not f"{module}.".startswith(f"{door}.")  # its own modules
        if any(name == door or name.startswith(f"{door}.") for name in names)
    }
    assert through == DOORS[door]
