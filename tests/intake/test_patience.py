from opstrace.intake.patience import MAX_CONNECTIONS, MOST_IN_A_ROW, NEXT_WITHIN_S, PATIENT_BYTES, Patience

AGENT = {"user-agent": "datadog-agent/7.75.3"}


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def row(
    patience: Patience, clock: Clock, length: int, connection: str = "a:1", *, apart_s: float = 0.01
) -> list[bool]:
    """Send payloads one after the other, each this long after the answer to the one before."""
    found = []
    for _ in range(length):
        found.append(patience.has(AGENT, 100, connection))
        clock.now += 0.2
        patience.answered(connection)
        clock.now += apart_s
    return found


def test_small_payloads_of_agents_can_wait_and_no_others() -> None:
    patience = Patience(Clock())
    assert patience.has(AGENT, PATIENT_BYTES, "a:1")
    assert not patience.has(AGENT, PATIENT_BYTES + 1, "a:1")
    assert not patience.has({"user-agent": "datadogpy/0.53.0"}, 1, "a:1")
    assert not patience.has({}, 1, "a:1")


def test_who_works_off_many_waits_with_the_first_ones_only() -> None:
    clock = Clock()
    assert row(Patience(clock), clock, MOST_IN_A_ROW + 50) == [True] * MOST_IN_A_ROW + [False] * 50


def test_a_pause_begins_a_new_row() -> None:
    clock = Clock()
    patience = Patience(clock)
    assert not row(patience, clock, MOST_IN_A_ROW + 1)[-1]
    clock.now += NEXT_WITHIN_S
    assert all(row(patience, clock, MOST_IN_A_ROW, apart_s=NEXT_WITHIN_S))
    assert all(row(patience, clock, 100, apart_s=NEXT_WITHIN_S))


def test_each_connection_has_a_row_of_its_own_and_what_came_on_none_has_no_row() -> None:
    clock = Clock()
    patience = Patience(clock)
    assert not row(patience, clock, MOST_IN_A_ROW + 1, "a:1")[-1]
    assert all(row(patience, clock, MOST_IN_A_ROW, "a:2"))
    assert all(row(patience, clock, 100, ""))


def test_what_comes_side_by_side_is_no_row() -> None:
    clock = Clock()
    patience = Patience(clock)
    assert all(patience.has(AGENT, 100, "a:1") for _ in range(100))


def test_only_so_many_connections_are_known() -> None:
    clock = Clock()
    patience = Patience(clock)
    assert not row(patience, clock, MOST_IN_A_ROW + 1, "first:1", apart_s=0)[-1]
    for number in range(MAX_CONNECTIONS):
        patience.has(AGENT, 100, f"b:{number}")
    assert patience.has(AGENT, 100, "first:1")
    assert len(patience._rows) == MAX_CONNECTIONS
