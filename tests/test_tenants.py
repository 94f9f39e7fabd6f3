from hypothesis import given
from hypothesis import strategies as st

from opstrace.tenants import Keyring, Tenant, is_key, key_digest, new_key, probe_key

ONE, ANOTHER, TWO = new_key(), new_key(), new_key()
SECRET = b"\x07" * 32
KEYRING = Keyring({"one": [key_digest(ONE), key_digest(ANOTHER)], "two": [key_digest(TWO)], "none": []}, SECRET)


def test_a_key_opens_its_tenant() -> None:
    assert [KEYRING.tenant_for(key) for key in (ONE, ANOTHER, TWO)] == [Tenant("one"), Tenant("one"), Tenant("two")]


def test_a_line_end_around_a_key_does_no_harm() -> None:
    assert KEYRING.tenant_for(f" {ONE}\r\n") == Tenant("one")


def test_a_keyring_lists_its_tenants_in_order_those_without_keys_too() -> None:
    assert KEYRING.tenants == (Tenant("one"), Tenant("two"), Tenant("none"))


def test_a_new_key_has_the_form_of_datadogs_and_opens_nothing() -> None:
    key = new_key()
    assert len(key) == 32
    assert is_key(key)
    assert KEYRING.tenant_for(key) is None


@given(st.text() | st.from_regex(r"[0-9a-fA-F]{30,34}", fullmatch=True))
def test_no_other_text_opens_anything(text: str) -> None:
    assert KEYRING.tenant_for(text, probe=True) is None


@given(st.integers(0, 31), st.sampled_from("0123456789abcdef"))
def test_a_key_with_one_digit_changed_opens_nothing(position: int, digit: str) -> None:
    changed = ONE[:position] + digit + ONE[position + 1 :]
    assert (KEYRING.tenant_for(changed) is None) == (changed != ONE)


def test_the_digest_of_a_key_is_no_key() -> None:
    assert KEYRING.tenant_for(key_digest(ONE)) is None
    assert KEYRING.tenant_for(key_digest(ONE)[:32]) is None


def test_a_probe_key_proves_its_tenant_only_where_probes_are_let_in() -> None:
    assert KEYRING.tenant_for(probe_key(SECRET, "two"), probe=True) == Tenant("two")
    assert KEYRING.tenant_for(probe_key(SECRET, "two")) is None


def test_a_probe_key_is_of_one_instance() -> None:
    assert KEYRING.tenant_for(probe_key(b"another secret", "two"), probe=True) is None
    assert Keyring({"two": []}).tenant_for(probe_key(SECRET, "two"), probe=True) is None


def test_a_keyring_does_not_show_keys() -> None:
    assert ONE not in repr(vars(KEYRING))
    assert SECRET.hex() not in repr(vars(KEYRING))
    assert repr(SECRET) not in repr(vars(KEYRING))
