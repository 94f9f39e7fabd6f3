"""Certificates, judged by OpenSSL in a real handshake and by cryptography's own reader."""

import ipaddress
import re
import socket
import ssl
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from opstrace import tls
from opstrace.config import DEFAULT, Config
from opstrace.errors import ConfigError
from opstrace.tls import Names, Pair

NOW = datetime.now(UTC)
CONFIG: Config = msgspec.structs.replace(
    DEFAULT, tenants=("default", "prod"), domain="example.com", listen="10.1.2.3"
)
NAMES = tls.names_of("demo", CONFIG)
AUTHORITY = tls.make_authority("demo", NAMES, NOW)
SERVED = tls.issue(AUTHORITY, NAMES, NOW)

REACHED = (
    "demo.example.com",
    "prod.demo.example.com",
    "dd.prod.demo.example.com",
    "dd.default.demo.example.com",
    "dd.system.demo.example.com",
    "localhost",
    "127.0.0.1",
    "::1",
    "10.1.2.3",
)
NOT_REACHED = ("example.com", "other.example.com", "a.b.demo.example.com", "10.1.2.4", "demo.example.org")


def shake_hands(directory: Path, served: Pair, anchor: Pair | None, name: str) -> str:
    """Return the issuer a client sees that connects to `name` and trusts the anchor alone; raise what it raises."""
    (directory / "chain.pem").write_bytes(served.certificate + served.key)
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(directory / "chain.pem")
    client_side = ssl.create_default_context(cadata=anchor.certificate.decode() if anchor else None)
    client_side.verify_flags |= ssl.VERIFY_X509_STRICT
    ours, theirs = socket.socketpair()
    with ours, theirs:
        thread = threading.Thread(target=_answer, args=(server_side, theirs))
        thread.start()
        try:
            with client_side.wrap_socket(ours, server_hostname=name) as connection:
                return str(dict(pair[0] for pair in connection.getpeercert()["issuer"])["commonName"])  # type: ignore[index,misc]
        finally:
            ours.close()
            thread.join()


def _answer(context: ssl.SSLContext, connection: socket.socket) -> None:
    try:
        with context.wrap_socket(connection, server_side=True) as secured:
            secured.recv(1)
    except OSError:
        connection.close()


@pytest.mark.parametrize("name", REACHED)
def test_whoever_trusts_the_anchor_connects_to_every_name(tmp_path: Path, name: str) -> None:
    assert shake_hands(tmp_path, SERVED, AUTHORITY, name) == "local CA of demo"


@pytest.mark.parametrize("name", NOT_REACHED)
def test_no_other_name_is_vouched_for(tmp_path: Path, name: str) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match=r"mismatch|not valid for"):
        shake_hands(tmp_path, SERVED, AUTHORITY, name)


def test_without_the_anchor_nobody_connects(tmp_path: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
        shake_hands(tmp_path, SERVED, None, "localhost")


def test_another_instances_anchor_is_of_no_use(tmp_path: Path) -> None:
    another = tls.make_authority("demo", NAMES, NOW)
    with pytest.raises(ssl.SSLCertVerificationError, match=r"signature failure|unable to get local issuer"):
        shake_hands(tmp_path, SERVED, another, "localhost")


@pytest.mark.parametrize("name", ["bank.example", "example.com", "xdemo.example.com", "8.8.8.8"])
def test_a_stolen_authority_cannot_vouch_for_others(tmp_path: Path, name: str) -> None:
    forged = tls.issue(AUTHORITY, _names(name), NOW)
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        shake_hands(tmp_path, forged, AUTHORITY, name)


def _names(name: str) -> Names:
    address = name.replace(".", "").isdigit()
    return Names(dns=() if address else (name,), addresses=(ipaddress.ip_address(name),) if address else ())


def test_the_authority_is_what_it_is_said_to_be() -> None:
    authority = x509.load_pem_x509_certificate(AUTHORITY.certificate)
    key = authority.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"
    assert timedelta(days=3650) < authority.not_valid_after_utc - NOW < timedelta(days=3660)


def test_the_longest_names_fit(tmp_path: Path) -> None:
    config = msgspec.structs.replace(DEFAULT, tenants=("t" * 63,), domain="d" * 63 + "." + "e" * 36)
    names = tls.names_of("n" * 63, config)
    authority = tls.make_authority("n" * 63, names, NOW)
    # 63 + 63 + 100 and dots: 229 characters, of the 253 a host name may have.
    name = f"dd.{config.tenants[0]}.{'n' * 63}.{config.domain}"
    assert shake_hands(tmp_path, tls.issue(authority, names, NOW), authority, name)


def test_nothing_is_replaced_that_still_serves() -> None:
    assert tls.authority_fault(AUTHORITY, NAMES, NOW) is None
    assert tls.certificate_fault(SERVED, AUTHORITY.certificate, NAMES, NOW) is None


LATER = NOW + tls.CERTIFICATE_LIFE - tls.RENEWAL + timedelta(minutes=1)
MOVED = tls.names_of("demo", msgspec.structs.replace(CONFIG, domain="example.org"))
GROWN = tls.names_of("demo", msgspec.structs.replace(CONFIG, tenants=("default", "prod", "new")))
OTHER = tls.make_authority("demo", NAMES, NOW)


@pytest.mark.parametrize(
    ("served", "authority", "names", "now", "reason"),
    [
        (SERVED, AUTHORITY, NAMES, LATER, "it ends on"),
        (SERVED, AUTHORITY, GROWN, NOW, "the names have changed"),
        (SERVED, OTHER, NAMES, NOW, "it is not of this authority"),
        (Pair(SERVED.certificate, OTHER.key), AUTHORITY, NAMES, NOW, "the key is not the certificate's"),
        (Pair(b"", SERVED.key), AUTHORITY, NAMES, NOW, "it cannot be read"),
        (Pair(SERVED.certificate, b"-----BEGIN"), AUTHORITY, NAMES, NOW, "it cannot be read"),
    ],
)
def test_a_certificate_is_replaced_for_a_reason(
    served: Pair, authority: Pair, names: Names, now: datetime, reason: str
) -> None:
    assert reason in (tls.certificate_fault(served, authority.certificate, names, now) or "")


@pytest.mark.parametrize(
    ("authority", "names", "now", "reason"),
    [
        (AUTHORITY, MOVED, NOW, "it may not vouch for demo.example.org"),
        (AUTHORITY, NAMES, NOW + timedelta(days=3400), "it ends on"),
    ],
)
def test_an_authority_is_replaced_for_a_reason(authority: Pair, names: Names, now: datetime, reason: str) -> None:
    assert reason in (tls.authority_fault(authority, names, now) or "")


@pytest.mark.parametrize(
    ("authority", "half"),
    [
        (AUTHORITY, None),
        (Pair(AUTHORITY.certificate, OTHER.key), "key"),
        (Pair(AUTHORITY.certificate, b""), "key"),
        (Pair(AUTHORITY.certificate[:-60], AUTHORITY.key), "certificate"),
        (SERVED, "certificate"),
    ],
)
def test_the_damaged_half_of_an_authority_is_told(authority: Pair, half: str | None) -> None:
    assert tls.authority_damage(authority) == half


FEWER = tls.names_of("demo", msgspec.structs.replace(CONFIG, tenants=("default",)))


@pytest.mark.parametrize(
    ("names", "now", "reason"),
    [
        (NAMES, LATER, None),
        (FEWER, NOW, None),
        (GROWN, NOW, r"it lacks \*\.new\.demo\.example\.com"),
        (NAMES, NOW + tls.CERTIFICATE_LIFE + timedelta(minutes=1), "it ends on"),
    ],
)
def test_a_certificate_that_cannot_be_renewed_does_as_long_as_it_is_valid(
    names: Names, now: datetime, reason: str | None
) -> None:
    fault = tls.certificate_fault(SERVED, AUTHORITY.certificate, names, now, renewable=False)
    assert re.match(reason, fault or "") if reason else fault is None


def test_a_new_tenant_keeps_the_authority() -> None:
    assert tls.authority_fault(AUTHORITY, GROWN, NOW) is None


def test_the_last_certificate_of_an_authority_does_not_outlive_it() -> None:
    late = NOW + timedelta(days=3600)
    last = x509.load_pem_x509_certificate(tls.issue(AUTHORITY, NAMES, late).certificate)
    assert last.not_valid_after_utc <= x509.load_pem_x509_certificate(AUTHORITY.certificate).not_valid_after_utc


def test_the_fingerprint_is_openssls(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(AUTHORITY.certificate)
    command = ["openssl", "x509", "-in", str(tmp_path / "ca.pem"), "-noout", "-fingerprint", "-sha256"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    assert printed.partition("=")[2] == tls.fingerprint(AUTHORITY.certificate)


def written(directory: Path, pair: Pair) -> tuple[str, str]:
    (directory / "cert.pem").write_bytes(pair.certificate)
    (directory / "key.pem").write_bytes(pair.key)
    return str(directory / "cert.pem"), str(directory / "key.pem")


def test_files_of_ones_own_are_taken_as_they_are(tmp_path: Path) -> None:
    tls.check_files(*written(tmp_path, SERVED), None, NAMES, NOW)


def encrypted(pair: Pair) -> Pair:
    key = serialization.load_pem_private_key(pair.key, None)
    best = serialization.BestAvailableEncryption(b"secret")
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return Pair(pair.certificate, key.private_bytes(encoding, form, best))


@pytest.mark.parametrize(
    ("pair", "names", "now", "reason"),
    [
        (Pair(SERVED.certificate, OTHER.key), NAMES, NOW, r"cert_key_file: .*key\.pem is not the unencrypted key of"),
        (encrypted(SERVED), NAMES, NOW, r"cert_key_file: .*key\.pem is not the unencrypted key of"),
        (Pair(b"text", SERVED.key), NAMES, NOW, r"cert_file: .*cert\.pem does not hold a PEM certificate"),
        (SERVED, NAMES, NOW + timedelta(days=900), r"cert_file: .*cert\.pem is valid from .* not today"),
        (SERVED, GROWN, NOW, r"cert_file: .*cert\.pem lacks these names, .*: \*\.new\.demo\.example\.com"),
    ],
)
def test_files_that_cannot_serve_are_told(
    tmp_path: Path, pair: Pair, names: Names, now: datetime, reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason):
        tls.check_files(*written(tmp_path, pair), None, names, now)


def test_files_that_are_not_there_are_told(tmp_path: Path) -> None:
    certificate, key = written(tmp_path, SERVED)
    Path(key).unlink()
    with pytest.raises(ConfigError, match=r"cert_key_file: cannot read .*key\.pem: No such file"):
        tls.check_files(certificate, key, None, NAMES, NOW)


def signed(subject: str, signer: tuple[x509.Name, ec.EllipticCurvePrivateKey] | None = None) -> Pair:
    """Make a certificate with all names; self-signed unless another one's name and key are given."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)])
    issuer, issuer_key = signer or (name, key)
    certificate = (
        tls._builder(name, issuer, key.public_key(), NOW, timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([*map(x509.DNSName, NAMES.dns)]), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    return tls._pair(certificate, key)


def signer(pair: Pair) -> tuple[x509.Name, ec.EllipticCurvePrivateKey]:
    key = serialization.load_pem_private_key(pair.key, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return x509.load_pem_x509_certificate(pair.certificate).subject, key


ROOT = signed("root")
NAMESAKE = signed("root")
BETWEEN = signed("between", signer(ROOT))
LEAF = signed("leaf", signer(BETWEEN))
CHAIN = Pair(LEAF.certificate + BETWEEN.certificate, LEAF.key)


@pytest.mark.parametrize(
    ("pair", "anchors"),
    [
        (SERVED, AUTHORITY.certificate),
        (ROOT, ROOT.certificate),
        (CHAIN, ROOT.certificate),
        (CHAIN, NAMESAKE.certificate + ROOT.certificate),
        (LEAF, BETWEEN.certificate),
        (Pair(CHAIN.certificate + ROOT.certificate, LEAF.key), ROOT.certificate),
    ],
)
def test_a_certificate_that_leads_to_what_clients_trust_is_taken(tmp_path: Path, pair: Pair, anchors: bytes) -> None:
    (tmp_path / "ca.pem").write_bytes(anchors)
    tls.check_files(*written(tmp_path, pair), str(tmp_path / "ca.pem"), NAMES, NOW)


@pytest.mark.parametrize(
    ("pair", "anchors", "reason"),
    [
        (ROOT, None, r"cert_ca_file is missing: .*cert\.pem is self-signed, .*; set cert_ca_file to the same file"),
        (SERVED, OTHER.certificate, r"cert_ca_file: .*cert\.pem is not issued by a certificate in .*ca\.pem"),
        (
            LEAF,
            ROOT.certificate,
            r"is not issued by a certificate in .*, and the certificates in between in cert_file",
        ),
        (CHAIN, NAMESAKE.certificate, r"is not issued by a certificate in"),
        (ROOT, NAMESAKE.certificate, r"is not issued by a certificate in"),
        (CHAIN, b"text", r"cert_ca_file: .*ca\.pem does not hold PEM certificates"),
    ],
)
def test_a_certificate_that_clients_would_not_trust_is_told(
    tmp_path: Path, pair: Pair, anchors: bytes | None, reason: str
) -> None:
    (tmp_path / "ca.pem").write_bytes(anchors or b"")
    ca_file = str(tmp_path / "ca.pem") if anchors else None
    with pytest.raises(ConfigError, match=reason):
        tls.check_files(*written(tmp_path, pair), ca_file, NAMES, NOW)
