"""Work that is done again and again, and what the log says where it fails."""

import asyncio
import logging
from collections.abc import Iterator

import pytest

from opstrace import log_lines
from opstrace.errors import StoreError
from opstrace.log_lines import SPARING_S, Sparing
from opstrace.recurring import every

FULL = StoreError("the disk is full")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    now = [1000.0]
    monkeypatch.setattr(log_lines.time, "monotonic", lambda: now[0])
    return now


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.getMessage()) for record in caplog.records]


def test_a_chore_that_fails_is_told_when_that_begins_and_when_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    fates = iter([None, FULL, FULL, FULL, None, None, FULL])

    async def work() -> None:
        if error := next(fates, asyncio.CancelledError()):
            raise error

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(every(0.001, "counting", work))
    assert said(caplog) == [
        ("WARNING", "counting failed: the disk is full"),
        ("INFO", "counting works again; it failed 3 times in 0 s"),
        ("WARNING", "counting failed: the disk is full"),
    ]


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), RuntimeError("nobody thought of this")])
def test_no_failure_ends_a_chore(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    turns = 0

    async def work() -> None:
        nonlocal turns
        turns += 1
        if turns == 3:
            raise asyncio.CancelledError
        raise error

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(every(0.001, "counting", work))
    assert turns == 3
    assert len(said(caplog)) == 1
    assert "counting failed" in said(caplog)[0][1]


def test_a_message_comes_once_in_a_while_whatever_is_filled_into_it(
    caplog: pytest.LogCaptureFixture, clock: list[float]
) -> None:
    logger = logging.getLogger("opstrace.test_sparing")
    logger.addFilter(Sparing())
    for number in range(5):
        logger.error("a commit of %d failed", number)
    logger.error("something else")
    clock[0] += SPARING_S
    logger.error("a commit of %d failed", 7)
    clock[0] += SPARING_S
    logger.error("a commit of %d failed", 8)
    assert [text for _, text in said(caplog)] == [
        "a commit of 0 failed",
        "something else",
        "a commit of 7 failed (and 4 times before)",
        "a commit of 8 failed",
    ]
