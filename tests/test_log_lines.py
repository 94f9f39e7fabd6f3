import io
import logging
import re

import pytest

from opstrace.log_lines import LineFormatter


def record(level: int, message: str, created: float = 1795444373.889) -> logging.LogRecord:
    made = logging.LogRecord("opstrace", level, __file__, 1, message, None, None)
    made.created = created
    return made


@pytest.mark.parametrize(
    ("level", "created", "line"),
    [
        (logging.INFO, 1795444373.889, "2026-11-23T14:32:53.889Z info: done"),
        (logging.WARNING, 0.0, "1970-01-01T00:00:00.000Z warning: done"),
        (logging.ERROR, 1795444373.9999, "2026-11-23T14:32:53.999Z error: done"),
        (logging.DEBUG, 1795444374.0, "2026-11-23T14:32:54.000Z debug: done"),
    ],
)
def test_a_line_has_utc_milliseconds_level_and_message(level: int, created: float, line: str) -> None:
    assert LineFormatter(coloured=False).format(record(level, "done", created)) == line


def test_only_trouble_is_coloured() -> None:
    formatter = LineFormatter(coloured=True)
    assert "\033[31merror\033[0m: " in formatter.format(record(logging.ERROR, "no"))
    assert "\033" not in formatter.format(record(logging.INFO, "yes"))


def test_a_traceback_follows_its_line() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter(coloured=False))
    logger = logging.Logger("apart")
    logger.addHandler(handler)
    try:
        raise ValueError("odd")
    except ValueError:
        logger.exception("it broke")
    first, *rest = stream.getvalue().splitlines()
    assert re.fullmatch(r"\S+Z error: it broke", first)
    assert rest[-1] == "ValueError: odd"
