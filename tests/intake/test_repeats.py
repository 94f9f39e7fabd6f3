from opstrace.intake.payload import Body, Family
from opstrace.intake.repeats import MAX_PAYLOADS, WINDOW_S, Repeats


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def body(content: bytes, tenant: str = "t", family: Family = Family.SERIES_V1) -> Body:
    return Body(family, tenant, content)


def test_the_same_body_of_the_same_tenant_and_kind_is_known_for_a_while() -> None:
    clock = Clock()
    repeats = Repeats(clock)
    assert not repeats.note(body(b"a"))
    assert repeats.note(body(b"a"))
    assert not repeats.note(body(b"b"))
    assert not repeats.note(body(b"a", tenant="u"))
    assert not repeats.note(body(b"a", family=Family.SERIES_V2_JSON))
    clock.now = WINDOW_S
    assert repeats.note(body(b"a"))
    clock.now = 2 * WINDOW_S + 1
    assert not repeats.note(body(b"a"))


def test_no_more_than_so_many_are_known() -> None:
    repeats = Repeats(Clock())
    for number in range(MAX_PAYLOADS + 1):
        assert not repeats.note(body(b"%d" % number))
    assert repeats.note(body(b"%d" % MAX_PAYLOADS))
    assert not repeats.note(body(b"0"))
