"""What a start makes of the document it is given."""

import logging
from pathlib import Path

import msgspec
import pytest

from end_to_end.instance import free_ports
from opstrace import homes, roster, startup
from opstrace.config import Config
from opstrace.errors import InstanceError


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == startup.__name__]


def test_a_document_given_before_takes_nothing_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "opstrace.startup")
    ports = free_ports()
    document = Config(tenants=("one",), metric_retention_days=30, **ports)
    startup.prepare("demo", document, tmp_path, rewrite_tokens=False)
    roster.set_limits("demo", None, {"metric_retention_days": 400})
    roster.add("demo", "two", tmp_path)
    again = startup.prepare("demo", document, tmp_path, rewrite_tokens=False)
    assert (again.config.tenants, again.config.metric_retention_days) == (("one", "two"), 400)
    assert said(caplog) == [
        "this config was given before; what was changed since by commands, or on the web UI, stays"
    ]
    caplog.clear()
    other = msgspec.structs.replace(document, log_retention_days=3)
    replaced = startup.prepare("demo", other, tmp_path, rewrite_tokens=False)
    assert (replaced.config.tenants, replaced.config.metric_retention_days) == (("one",), 30)
    assert [text.split(" is ")[0] for text in said(caplog)] == [
        "tenant two",
        "metric_retention_days",
        "log_retention_days",
    ]


def test_an_instance_that_was_moved_is_found_by_its_data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = Config(tenants=("one",), data_dir=str(tmp_path / "here"), **free_ports())
    startup.prepare("demo", document, tmp_path, rewrite_tokens=False)
    (tmp_path / "here").rename(tmp_path / "there")
    with pytest.raises(InstanceError, match="is it mounted"):
        startup.prepare("demo", None, tmp_path, rewrite_tokens=False)
    moved = msgspec.structs.replace(document, data_dir=str(tmp_path / "there"))
    assert startup.prepare("demo", moved, tmp_path, rewrite_tokens=False).home == tmp_path / "there"
    assert startup.prepare("demo", None, tmp_path, rewrite_tokens=False).config.data_dir == str(tmp_path / "there")


def test_what_cannot_be_locked_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InstanceError, match="cannot change the instance"), homes.locked(tmp_path / "nowhere"):
        raise AssertionError
