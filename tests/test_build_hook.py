"""The web UI's build as hatchling runs it: when, with which Node, and what becomes of a build that fails."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


def loaded() -> ModuleType:
    specification = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


hatch_build = loaded()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with one page, and a PATH on which nothing is found but what a test provides."""
    (tmp_path / "ui" / "src").mkdir(parents=True)
    (tmp_path / "ui" / "package-lock.json").write_text("{}")
    (tmp_path / "ui" / "src" / "page.tsx").write_text("export {};\n")
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


def provide(checkout: Path, name: str, script: str) -> None:
    (checkout / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
    (checkout / "bin" / name).chmod(0o755)


def build(checkout: Path) -> None:
    hook = hatch_build.UiBuildHook(str(checkout), {}, None, None, "", "wheel")
    hook.initialize("editable", {"artifacts": []})


def reason(checkout: Path) -> str:
    return (hatch_build.static(checkout) / "unbuilt.txt").read_text()


@pytest.mark.parametrize(
    ("told", "taken"),
    [("v20.18.9", False), ("v18.20.0", False), ("v20.19.0", True), ("v24.1.0", True), ("", False), ("node", False)],
)
def test_a_node_is_taken_if_it_is_new_enough(checkout: Path, told: str, taken: bool) -> None:
    provide(checkout, "node", f"echo {told}")
    provide(checkout, "npm", "")
    assert (hatch_build.machine_node() is not None) == taken
    hook = hatch_build.UiBuildHook(str(checkout), {}, None, None, "", "wheel")
    assert hook.dependencies() == ([] if taken else [hatch_build.NODE_REQUIREMENT])


def test_a_node_without_npm_is_not_taken(checkout: Path) -> None:
    provide(checkout, "node", "echo v24.0.0")
    assert hatch_build.machine_node() is None


def test_pages_are_built_once_and_again_when_a_source_changes(checkout: Path) -> None:
    """A stand-in for npm notes each call; pages are two of them, installing and building."""
    provide(checkout, "node", "echo v24.0.0")
    provide(
        checkout,
        "npm",
        f'echo "$1" >>{checkout}/calls; [ "$1" = ci ] || /bin/mkdir -p {checkout}/src/opstrace/web/static',
    )

    def calls() -> list[str]:
        (checkout / "calls").unlink(missing_ok=True)
        build(checkout)
        return (checkout / "calls").read_text().split() if (checkout / "calls").exists() else []

    assert calls() == ["ci", "run"]
    assert calls() == []
    (checkout / "ui" / "src" / "page.tsx").write_text("export const changed = 1;\n")
    assert calls() == ["ci", "run"]
    (checkout / "ui" / "src" / "page.tsx").rename(checkout / "ui" / "src" / "other.tsx")
    assert calls() == ["ci", "run"]


def test_what_npm_says_becomes_the_reason_and_the_installation_goes_on(checkout: Path) -> None:
    provide(checkout, "node", "echo v24.0.0")
    provide(checkout, "npm", "echo 'npm error code ENOTFOUND' >&2; exit 1")
    build(checkout)
    assert reason(checkout) == "npm could not fetch what the build needs: npm error code ENOTFOUND\n"
    assert hatch_build.stale(checkout)  # the next installation tries again


def test_a_build_that_fails_is_told(checkout: Path) -> None:
    provide(checkout, "node", "echo v24.0.0")
    provide(checkout, "npm", '[ "$1" = ci ] || { echo "error: page.tsx does not parse"; exit 1; }')
    build(checkout)
    assert reason(checkout) == "Vite could not build it: error: page.tsx does not parse\n"


def test_a_package_without_sources_needs_no_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not hatch_build.stale(tmp_path)
    assert hatch_build.UiBuildHook(str(tmp_path), {}, None, None, "", "wheel").dependencies() == []
