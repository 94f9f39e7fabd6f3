"""Prometheus's own scripts, where they are beside the checkout: they pass as docs/promql.md says."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from opstrace.promql.engine import Engine
from opstrace.promql.testscript import FreshTenants, run_files
from opstrace.store.embedded import temporary_store

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT.parent / "shared" / "conformance" / "promql").glob("*.test"))
# Evaluations of series that our copy of a script never loads.
NOT_LOADED = {"histograms.test": 10}

pytestmark = pytest.mark.skipif(
    not SCRIPTS, reason="Prometheus's scripts are not beside this checkout (../shared/conformance)"
)


@pytest.fixture(scope="module")
def tenants() -> Iterator[FreshTenants]:
    """A store in which each script begins with nothing."""
    with temporary_store() as store:
        yield FreshTenants(store)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_scripts_pass(path: Path, tenants: FreshTenants) -> None:
    (report,) = run_files([path], tenants, Engine())
    assert report.fault == ""
    failed = [f"{one.line}: {one.query}: {one.reason}" for one in report.failures]
    assert len(failed) == NOT_LOADED.get(path.name, 0), failed


def test_the_docs_say_how_many() -> None:
    text = (ROOT / "docs" / "promql.md").read_text(encoding="utf-8")
    (passed,) = re.findall(r"\*\*([\d,]+) pass\*\*", text)
    (total,) = re.findall(r"\(([\d,]+) evaluations;", text)
    assert int(total.replace(",", "")) - int(passed.replace(",", "")) == sum(NOT_LOADED.values())
