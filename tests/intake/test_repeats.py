from collections.abc import Mapping

from opstrace.intake.payload import Body, Family
from opstrace.intake.repeats import MAX_PAYLOADS, WINDOW_S, Repeats


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def note(
    repeats: Repeats,
    raw: bytes,
    tenant: str = "t",
    family: Family = Family.SERIES_V1,
    *,
    facts: Mapping[str, str] | None = None,
    stored: int = 1,
) -> bool:
    return repeats.note(Body(family, tenant, raw, facts or {}), raw, stored)


def test_the_same_body_of_the_same_tenant_and_kind_is_known_for_a_while() -> None:
    clock = Clock()
    repeats = Repeats(clock)
    assert not note(repeats, b"a")
    assert note(repeats, b"a")
    assert not note(repeats, b"b")
    assert not note(repeats, b"a", tenant="u")
    assert not note(repeats, b"a", family=Family.SERIES_V2_JSON)
    clock.now = WINDOW_S
    assert note(repeats, b"a")
    clock.now = 2 * WINDOW_S + 1
    assert not note(repeats, b"a")


def test_what_was_said_beside_a_body_is_part_of_it() -> None:
    repeats = Repeats(Clock())
    assert not note(repeats, b"a", facts={"hostname": "h1"})
    assert not note(repeats, b"a", facts={"hostname": "h2"})
    assert note(repeats, b"a", facts={"hostname": "h1"})


def test_more_than_was_stored_before_is_no_repeat() -> None:
    repeats = Repeats(Clock())
    assert not note(repeats, b"a", stored=1)
    assert not note(repeats, b"a", stored=2)
    assert note(repeats, b"a", stored=1)
    assert note(repeats, b"a", stored=2)


def test_nothing_is_known_of_a_tenant_that_was_removed() -> None:
    repeats = Repeats(Clock())
    for tenant in ("t", "u"):
        note(repeats, b"a", tenant=tenant)
    repeats.forget("t")
    assert not note(repeats, b"a", tenant="t")
    assert note(repeats, b"a", tenant="u")


def test_no_more_than_so_many_are_known() -> None:
    repeats = Repeats(Clock())
    for number in range(MAX_PAYLOADS + 1):
        assert not note(repeats, b"%d" % number)
    assert note(repeats, b"%d" % MAX_PAYLOADS)
    assert not note(repeats, b"0")
