from opstrace.intake.payload import Family
from opstrace.intake.repeats import MAX_PAYLOADS, WINDOW_S, Repeats


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def note(repeats: Repeats, raw: bytes, tenant: str = "t", family: Family = Family.SERIES_V1) -> bool:
    return repeats.note(tenant, family, raw)


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


def test_no_more_than_so_many_are_known() -> None:
    repeats = Repeats(Clock())
    for number in range(MAX_PAYLOADS + 1):
        assert not note(repeats, b"%d" % number)
    assert note(repeats, b"%d" % MAX_PAYLOADS)
    assert not note(repeats, b"0")
