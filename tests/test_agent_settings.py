import configparser
import dataclasses
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from opstrace import agent_settings, token_files
from opstrace import instance as instances
from opstrace.agent_settings import SETTINGS, Fate
from opstrace.config import DEFAULT
from opstrace.errors import InstanceError
from opstrace.instance import Instance
from opstrace.tenants import new_key


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Instance:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    made = instances.make("demo", msgspec.structs.replace(DEFAULT, tenants=("default", "prod")))
    return token_files.ensure(made, tmp_path, rewrite=True)


def changed(instance: Instance, **changes: object) -> Instance:
    return instances.make(instance.name, msgspec.structs.replace(instance.config, **changes))


def environment(instance: Instance, tenant: str | None = None) -> dict[str, str]:
    text = agent_settings.environment(agent_settings.target_of(instance, tenant))
    return dict(line.split("=", 1) for line in text.splitlines())


def document(instance: Instance) -> Any:
    return yaml.safe_load(agent_settings.datadog_yaml(agent_settings.target_of(instance)))


def flat(value: Any, path: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {path[1:]: value}
    return {name: leaf for key, inner in value.items() for name, leaf in flat(inner, f"{path}.{key}").items()}


def test_the_yaml_has_every_setting_and_the_key(instance: Instance, tmp_path: Path) -> None:
    found = flat(document(instance))
    assert found.pop("api_key") == (tmp_path / "tenant-api-token-default").read_text()
    assert found.keys() == {setting.path for setting in SETTINGS}
    for value, form in (("https://localhost:8443", "{url}"), ("localhost:8443", "{address}")):
        paths = {path for path, given in found.items() if given == value}
        assert paths == {setting.path for setting in SETTINGS if setting.value == form}
    assert found["logs_config.logs_dd_url"] == "localhost:8443"


def test_what_is_off_is_false(instance: Instance) -> None:
    found = flat(document(instance))
    assert {found[setting.path] for setting in SETTINGS if setting.fate is Fate.OFF} == {False}


def test_no_product_that_is_on_by_default_goes_to_datadog(instance: Instance) -> None:
    variables = environment(instance)
    for setting in SETTINGS:
        assert (setting.variable in variables) == setting.default_on
    # Every product of an Agent whose owner set nothing but the key (see datadog.yaml's own defaults).
    assert variables["DD_DD_URL"] == "https://localhost:8443"
    off = (
        "APM",
        "APM_TELEMETRY",
        "REMOTE_CONFIGURATION",
        "AGENT_TELEMETRY",
        "CONTAINER_IMAGE",
        "ORCHESTRATOR_EXPLORER",
    )
    assert {variables[f"DD_{name}_ENABLED"] for name in off} == {"false"}


@pytest.mark.parametrize("key", ["12345678901234567890123456789e12", "1" * 32, "0" * 31 + "1", "0x" + "1" * 30])
def test_a_key_that_looks_like_a_number_stays_text(instance: Instance, key: str) -> None:
    target = agent_settings.target_of(instance)
    text = agent_settings.datadog_yaml(dataclasses.replace(target, key=key))
    assert text.splitlines()[0] == f'api_key: "{key}"'
    assert yaml.safe_load(text)["api_key"] == key


def test_a_real_domain_is_used_by_its_names(instance: Instance) -> None:
    real = changed(instance, domain="example.com", https_port=443, listen="0.0.0.0")
    assert environment(real, "prod")["DD_DD_URL"] == "https://dd.prod.demo.example.com"
    assert environment(real, "prod")["DD_LOGS_CONFIG_LOGS_DD_URL"] == "dd.prod.demo.example.com:443"
    assert "--network host" not in agent_settings.docker_command(agent_settings.target_of(real))
    assert "--network host" in agent_settings.docker_command(agent_settings.target_of(instance))


def test_the_docker_command_runs_as_pasted(instance: Instance, tmp_path: Path) -> None:
    """A stand-in on PATH named docker notes its arguments: what the shell makes of the text."""
    (tmp_path / "docker").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (tmp_path / "docker").chmod(0o755)
    command = agent_settings.docker_command(agent_settings.target_of(instance))
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["sh", "-eu"], input=command, env=environment, capture_output=True, text=True, check=True)
    words = done.stdout.splitlines()
    assert (words[0], words[-1]) == ("run", "gcr.io/datadoghq/agent:7")
    assert "DD_API_KEY=" + (tmp_path / "tenant-api-token-default").read_text() in words
    assert f"{instance.home}/tls/ca.pem:/etc/ssl/certs/opstrace.pem:ro" in words
    assert not done.stderr


def test_the_docker_command_does_not_show_the_key(instance: Instance, tmp_path: Path) -> None:
    command = agent_settings.docker_command(agent_settings.target_of(instance))
    assert (tmp_path / "tenant-api-token-default").read_text() not in command


def test_a_token_file_with_odd_characters_in_its_path_is_quoted(instance: Instance, tmp_path: Path) -> None:
    odd = tmp_path / "a b'$(x)"
    odd.mkdir()
    moved = odd / "tenant-api-token-default"
    key = (tmp_path / "tenant-api-token-default").read_text()
    moved.write_text(key)
    named = instances.add_key(instance, "default", key, moved)
    command = agent_settings.docker_command(agent_settings.target_of(named))
    line = re.search(r"DD_API_KEY=(.*) \\$", command, re.MULTILINE)
    assert line
    printed = subprocess.run(["sh", "-c", f"printf %s {line[1]}"], capture_output=True, text=True, check=True).stdout
    assert printed == key


def test_a_lost_key_is_told_by_its_file(instance: Instance, tmp_path: Path) -> None:
    path = tmp_path / "tenant-api-token-default"
    path.unlink()
    assert environment(instance)["DD_API_KEY"] == f"<the token in {path}>"
    words = shlex.split(agent_settings.docker_command(agent_settings.target_of(instance)).replace("\\\n", ""))
    assert f"DD_API_KEY=<the token in {path}>" in words


def test_a_key_that_is_in_no_file_is_told(instance: Instance) -> None:
    unwritten = instances.add_key(instances.forget_keys(instance, "prod"), "prod", new_key(), None)
    assert environment(unwritten, "prod")["DD_API_KEY"] == "<the token that was never written to a file>"


def test_public_certificates_need_no_mount(instance: Instance) -> None:
    public = changed(instance, cert_issuer="files", cert_file="/a.pem", cert_key_file="/b.pem")
    assert "opstrace.pem" not in agent_settings.everything(agent_settings.target_of(public))
    assert "update-ca-certificates" not in agent_settings.everything(agent_settings.target_of(public))


def test_helm_values_say_what_the_environment_says(instance: Instance) -> None:
    """Nodes' Agents and the cluster's get the settings of a single Agent, the key, and the certificate."""
    text = agent_settings.helm_values(agent_settings.target_of(instance))
    values = yaml.safe_load(text)
    wanted = environment(instance)
    key, url = wanted.pop("DD_API_KEY"), wanted.pop("DD_DD_URL")
    assert (values["datadog"]["apiKey"], values["datadog"]["dd_url"]) == (key, url)
    for agent in (values["datadog"], values["clusterAgent"], values["clusterChecksRunner"]):
        assert {setting["name"]: setting["value"] for setting in agent["env"]} == wanted
    for agent in (values["agents"], values["clusterAgent"], values["clusterChecksRunner"]):
        assert agent["volumes"][0]["name"] == agent["volumeMounts"][0]["name"] == "opstrace-ca"
        assert agent["volumeMounts"][0]["mountPath"] == str(agent_settings.CERTIFICATE_IN_IMAGE)
    assert "kubectl create configmap opstrace-ca" in text
    # What the chart says of these comes behind the environment, and counts.
    for product in ("processAgent", "orchestratorExplorer", "containerLifecycle", "containerImageCollection", "apm"):
        assert set(values["datadog"][product].values()) == {False}
    assert values["remoteConfiguration"] == {"enabled": False}


def test_helm_values_warn_of_an_address_that_no_pod_reaches(instance: Instance) -> None:
    warning = "# No pod reaches this dd_url"
    assert agent_settings.helm_values(agent_settings.target_of(instance)).startswith(warning)
    reached = changed(instance, domain="example.com", listen="0.0.0.0")
    assert warning not in agent_settings.helm_values(agent_settings.target_of(reached))


def test_everything_tells_what_becomes_of_each_product(instance: Instance) -> None:
    text = agent_settings.everything(agent_settings.target_of(instance))
    assert "#   \n" not in text
    for product in filter(None, (setting.product for setting in SETTINGS)):
        assert f"#   {product}\n" in text
    for fate in Fate:
        assert f"# {fate.value}:" in text


def test_a_tenant_that_is_not_there_is_told(instance: Instance) -> None:
    with pytest.raises(InstanceError, match="demo has no tenant qa; it has default, prod, system"):
        agent_settings.target_of(instance, "qa")


def conf(instance: Instance) -> dict[str, str]:
    parser = configparser.ConfigParser()
    parser.read_string(agent_settings.datadog_conf(agent_settings.target_of(instance)))
    return dict(parser["Main"])


def test_an_agent_of_version_five_uses_plain_http_here_and_trusts_what_it_cannot_know_elsewhere(
    instance: Instance, tmp_path: Path
) -> None:
    key = (tmp_path / "tenant-api-token-default").read_text()
    assert conf(instance) == {"api_key": key, "dd_url": "http://127.0.0.1:8080"}
    url = "https://dd.default.demo.example.com:8443"
    real = changed(instance, domain="example.com", listen="0.0.0.0")
    assert conf(real) == {"api_key": key, "dd_url": url, "skip_ssl_validation": "yes"}
    public = changed(real, cert_issuer="files", cert_file="/a.pem", cert_key_file="/b.pem")
    assert conf(public) == {"api_key": key, "dd_url": url}
