"""Flares on a disk that takes nothing more."""

import asyncio
import errno
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.requests import Request

from opstrace.config import Limits
from opstrace.errors import Overloaded
from opstrace.intake import flares
from opstrace.intake.flares import Flares
from opstrace.intake.ledger import Ledger
from opstrace.telemetry import Telemetry

FORM = b'--edge\r\nContent-Disposition: form-data; name="flare_file"\r\n\r\n%s\r\n--edge--\r\n'


def full(*_: Any, **__: Any) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")


def stored(directory: Path, ledger: Ledger, archive: bytes = b"PK archive") -> None:
    form = FORM % archive
    chunks = [form[:20], form[20:]]

    async def receive() -> Any:
        return {"type": "http.request", "body": chunks.pop(0), "more_body": bool(chunks)}

    headers = [(b"content-type", b"multipart/form-data; boundary=edge")]
    request = Request({"type": "http", "method": "POST", "headers": headers}, receive)
    asyncio.run(Flares(directory, Limits(), ledger, Telemetry()).store("one", request, lambda: None))


@pytest.mark.parametrize("call", ["pathlib.Path.mkdir", "pathlib.Path.open", "os.sendfile", "os.fsync"])
def test_a_full_disk_asks_to_come_again_and_leaves_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, call: str
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(call, full)
        with pytest.raises(Overloaded, match="try again"):
            stored(tmp_path, Ledger())
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.endswith("told to come again: [Errno 28] No space left on device")
    stored(tmp_path, ledger := Ledger())
    assert len(list(tmp_path.rglob("*.zip"))) == 1
    assert ledger.take()


@pytest.mark.parametrize("looks", [0, 1, 2])
def test_a_disk_with_little_room_asks_to_come_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, looks: int
) -> None:
    """Before the first chunk, while it arrives, and before its archive is copied."""
    left = [flares.MIN_FREE_BYTES + 100] * looks
    with monkeypatch.context() as patched:
        patched.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=left.pop() if left else 1 << 20))
        with pytest.raises(Overloaded, match="try again"):
            stored(tmp_path, Ledger())
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert "only 1 MiB of disk are free" in caplog.text


def test_two_that_make_room_at_once_do_not_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unlink = Path.unlink

    def gone_already(path: Path, missing_ok: bool = False) -> None:
        if path.suffix == ".zip" and not path.name.startswith("."):
            unlink(path)
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", gone_already)
    for _ in range(Limits().max_flares + 2):
        stored(tmp_path, Ledger())
    assert len(list(tmp_path.rglob("*.zip"))) == Limits().max_flares


def test_what_is_left_of_one_that_was_arriving_goes(tmp_path: Path) -> None:
    stored(tmp_path, Ledger())
    part = tmp_path / "one" / ".20260101T000000.123456789.part"
    part.touch()
    os.utime(part, (0, 0))
    Flares(tmp_path, Limits(), Ledger(), Telemetry()).remove_left_behind()
    assert [path.suffix for path in tmp_path.rglob("*") if path.is_file()] == [".zip"]


def test_so_many_arrive_at_once(tmp_path: Path) -> None:
    flares = Flares(tmp_path, Limits(), Ledger(), Telemetry())

    async def receive() -> Any:
        await asyncio.Event().wait()

    def arriving() -> Any:
        return flares.store("one", Request({"type": "http", "method": "POST", "headers": []}, receive), lambda: None)

    async def at_once() -> None:
        tasks = [asyncio.create_task(arriving()) for _ in range(Limits().max_flares)]
        await asyncio.sleep(0.01)
        with pytest.raises(Overloaded, match="too many flares"):
            await arriving()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        again = asyncio.create_task(arriving())
        await asyncio.sleep(0.01)
        assert not again.done()
        again.cancel()

    asyncio.run(at_once())


@pytest.mark.parametrize(("archive", "suffix"), [(b"PK\3\4", ".zip"), (b"BZh91AY", ".bz2"), (b"", ".zip")])
def test_an_archive_is_named_as_what_it_is(tmp_path: Path, archive: bytes, suffix: str) -> None:
    stored(tmp_path, Ledger(), archive)
    (path,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert path.suffix == suffix
    assert path.read_bytes() == archive
