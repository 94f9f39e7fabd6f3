"""Bodies that hold more than they may are refused before they are decoded; those of real senders never are."""

import pytest

from opstrace.errors import PayloadTooLarge
from opstrace.intake import density
from opstrace.intake.density import MAX_THINGS, things_in
from opstrace.intake.payload import Family

MORE = MAX_THINGS + 1
TOO_MANY = {
    "series": (Family.SERIES_V2_PROTOBUF, b"\n\0" * MORE),
    "points of a series": (Family.SERIES_V2_PROTOBUF, b"\n\0" + b'"\0' * MORE),
    "series in JSON": (Family.SERIES_V1, b'{"series":[' + b"{}," * MORE + b"{}]}"),
    "points in JSON": (Family.SERIES_V2_JSON, b'{"series":[{"points":[' + b"{}," * MORE + b"{}]}]}"),
    "sketches": (Family.SKETCHES, b"\n\0" * MORE),
    "sketches of a series": (Family.SKETCHES, b"\n\0" + b":\0" * MORE),
    "events": (Family.EVENTS_BATCH, b"\n\0" * MORE),
    "events in JSON": (Family.INTAKE, b'{"events":{"a":[' + b"{}," * MORE + b"{}]}}"),
    "lines": (Family.LOGS_TEXT, b"a\n" * MORE),
}


@pytest.mark.parametrize("what", TOO_MANY)
def test_too_much_is_refused(what: str) -> None:
    family, content = TOO_MANY[what]
    with pytest.raises(PayloadTooLarge, match=f"more than {MAX_THINGS}"):
        things_in(family, content)


def test_what_is_in_tags_is_not_taken_for_sketches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(density, "MAX_THINGS", 10)
    assert things_in(Family.SKETCHES, b"\n\x20" + b"\x22\x08env:prod" * 30) <= 10
