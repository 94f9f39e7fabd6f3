"""The config document: what is accepted, what is refused and in which words, and that its page tells the truth."""

import re
from pathlib import Path

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from opstrace import config
from opstrace.config import Config, Limits, TenantLimits
from opstrace.config_document import struct_of_list, struct_of_mapping
from opstrace.errors import ConfigError

ROOT = Path(__file__).parent.parent
BASE = Path("/etc/opstrace")
CASES = yaml.safe_load((Path(__file__).parent / "config_faults.yaml").read_text())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["what"])
def test_a_fault_is_told_in_one_sentence_that_names_key_value_and_what_is_allowed(case: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as caught:
        config.parse(case["document"], BASE)
    assert str(caught.value) == case["message"]


def test_a_list_of_tenants_is_a_complete_document() -> None:
    assert config.parse("tenants: [default]", BASE) == Config(tenants=("default",)) == config.DEFAULT


def test_the_example_is_valid_and_makes_the_tenant_of_the_walkthrough() -> None:
    assert config.load(ROOT / "examples" / "config.yaml").tenants == ("default",)


def test_the_system_tenant_always_exists_and_comes_last() -> None:
    assert config.parse("tenants: [b, a]", BASE).all_tenants == ("b", "a", "system")


def test_relative_paths_start_at_the_document_and_home_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/var/lib/somebody")
    document = "{tenants: [a], cert_issuer: files, cert_file: tls/a.pem, cert_key_file: /b.pem, data_dir: ~/data}"
    parsed = config.parse(document, BASE)
    assert (parsed.cert_file, parsed.cert_key_file) == ("/etc/opstrace/tls/a.pem", "/b.pem")
    assert parsed.data_dir == "/var/lib/somebody/data"


def test_every_limit_can_be_set_and_the_others_keep_their_defaults() -> None:
    for field in msgspec.structs.fields(Limits):
        parsed = config.parse(yaml.safe_dump({"tenants": ["a"], "limits": {field.name: 7}}), BASE)
        assert parsed.limits == msgspec.structs.replace(Limits(), **{field.name: 7})


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the config file .*/absent\.yaml: No such file or directory"):
        config.load(tmp_path / "absent.yaml")


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_bytes(b"tenants: [\xff]")
    with pytest.raises(ConfigError, match=r"c\.yaml is not UTF-8 text: byte 10"):
        config.load(tmp_path / "c.yaml")


def test_a_fault_in_a_file_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("tenants: []")
    with pytest.raises(ConfigError, match=r"c\.yaml: tenants: \[\] is not allowed"):
        config.load(tmp_path / "c.yaml")


names = st.from_regex(r"[a-z]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True).filter(lambda name: name != "system")


@given(
    st.builds(
        Config,
        tenants=st.lists(names, min_size=1, max_size=5, unique=True).map(tuple),
        https_port=st.integers(1, 32767),
        http_port=st.integers(32768, 65535) | st.just(0),
        metric_retention_days=st.integers(1, 36500),
        tag_label_prefix=st.from_regex(r"([a-zA-Z_]\w{0,9})?", fullmatch=True).filter(str.isascii),
        data_dir=st.none() | st.just("/var/lib/opstrace"),
        limits=st.builds(Limits, max_body_bytes=st.integers(1, 2**53)),
        tenant_limits=st.dictionaries(st.just("system"), st.builds(TenantLimits, max_series=st.integers(1, 2**53))),
    )
)
def test_what_is_rendered_parses_to_the_same_config(original: Config) -> None:
    assert config.parse(config.render(original), BASE) == original


def outcome(document: str) -> Config | str:
    """Return the config of a document, or why it is none."""
    try:
        return config.parse(document, BASE)
    except ConfigError as error:
        return str(error)


@given(st.text(max_size=60))
def test_any_text_is_a_config_or_refused_in_words(text: str) -> None:
    assert outcome(text)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([field.name for field in msgspec.structs.fields(Config)]), values))
def test_any_value_of_any_key_is_accepted_or_refused_in_one_line(document: dict[str, object]) -> None:
    found = outcome(yaml.safe_dump(document))
    assert isinstance(found, Config) or "\n" not in found


def documented() -> dict[str, str]:
    """Return key → default of the tables in the page, as written there."""
    page = (ROOT / "docs" / "configuration.md").read_text()
    return dict(re.findall(r"^\| `([a-z_.]+)` \| ([^|]+?) \|", page, flags=re.MULTILINE))


def in_schema(kind: type[msgspec.Struct], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for field in msgspec.structs.fields(kind):
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            found |= in_schema(field.type, f"{prefix}{field.name}.")
        else:
            found[prefix + field.name] = "required" if field.required else f"`{_as_yaml(_default(field))}`"
        if inner := struct_of_list(field.type) or struct_of_mapping(field.type):
            found |= in_schema(inner, f"{prefix}{field.name}.")
    return found


def _default(field: msgspec.structs.FieldInfo) -> object:
    return field.default if field.default is not msgspec.NODEFAULT else field.default_factory()  # type: ignore[operator]


def _as_yaml(default: object) -> str:
    if default in (None, ""):
        return {None: "none", "": '""'}[default]  # type: ignore[index]
    return yaml.safe_dump(msgspec.to_builtins(default), default_flow_style=True, width=1000).splitlines()[0]


def test_the_page_has_every_key_with_its_default_and_no_other() -> None:
    assert documented() == in_schema(Config)


def test_the_documents_in_the_page_are_valid() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    documents = re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)
    assert documents
    for document in documents:
        config.parse(document, BASE)
