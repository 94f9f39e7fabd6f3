"""Certificates of an instance: a certificate authority of its own, and what that authority issues.

Bytes in, bytes out: `certificates.py` keeps the files. The authority may vouch only for this instance's names and for
loopback and private addresses (name constraints, RFC 5280 section 4.2.1.10), so trusting it trusts nothing else.
"""

import hashlib
import ipaddress
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Literal

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from opstrace.config import Config
from opstrace.errors import ConfigError

AUTHORITY_LIFE: Final = timedelta(days=3652)
CERTIFICATE_LIFE: Final = timedelta(days=825)  # the most that Apple's systems accept below an authority added by hand
RENEWAL: Final = timedelta(days=300)  # renewed at a start once less than this is left
BACKDATED: Final = timedelta(hours=1)  # for clients whose clock is behind

LOOPBACK: Final = ("127.0.0.1", "::1")
_VOUCHED_NETWORKS: Final = ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7")

_IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes


@dataclass(frozen=True, slots=True)
class Names:
    """What a certificate has to be valid for."""

    dns: tuple[str, ...]
    addresses: tuple[_IPAddress, ...]


def names_of(instance: str, config: Config) -> Names:
    """Return all names and addresses under which an instance is reached."""
    root = f"{instance}.{config.domain}"
    tenants = [f"{prefix}{tenant}.{root}" for tenant in config.all_tenants for prefix in ("", "*.")]
    addresses = dict.fromkeys(map(ipaddress.ip_address, (*LOOPBACK, config.listen)))
    return Names(
        dns=(root, f"*.{root}", *tenants, "localhost"),
        addresses=tuple(address for address in addresses if not address.is_unspecified),
    )


def make_authority(instance: str, names: Names, now: datetime) -> Pair:
    """Make an instance's certificate authority: ECDSA P-256, ten years."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "opstrace"),
            x509.NameAttribute(
                NameOID.COMMON_NAME, f"local CA of {instance}"[:64]
            ),  # RFC 5280: 64 characters at most
        ]
    )
    certificate = (
        _builder(subject, subject, key.public_key(), now, AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(_constraints(names), critical=True)
        .sign(key, hashes.SHA256())
    )
    return _pair(certificate, key)


def issue(authority: Pair, names: Names, now: datetime) -> Pair:
    """Make a server's certificate for these names, signed by the authority."""
    signer = x509.load_pem_x509_certificate(authority.certificate)
    signing_key = _private_key(authority.key)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "opstrace server")])
    life = min(CERTIFICATE_LIFE, signer.not_valid_after_utc - now)
    certificate = (
        _builder(subject, signer.subject, key.public_key(), now, life)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(list(_general_names(names))), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)  # type: ignore[arg-type]  # ours is always ECDSA
        .sign(signing_key, hashes.SHA256())
    )
    return _pair(certificate, key)


def authority_damage(authority: Pair) -> Literal["certificate", "key"] | None:
    """Say which half of an authority cannot be used, or None; the key, too, if it is another certificate's."""
    try:
        _constraints_of(authority.certificate)
    except (ValueError, x509.ExtensionNotFound):
        return "certificate"
    try:
        _matching(authority)
    except (ValueError, TypeError):
        return "key"
    return None


def authority_fault(authority: Pair, names: Names, now: datetime) -> str | None:
    """Say why an authority that is not damaged must be replaced, or None: ending, or may not vouch for a name."""
    end = x509.load_pem_x509_certificate(authority.certificate).not_valid_after_utc
    if end - now < RENEWAL:
        return f"it ends on {end:%Y-%m-%d}"
    missing = _permitted(names) - set(_constraints_of(authority.certificate).permitted_subtrees or ())
    return f"it may not vouch for {_text_of(min(missing, key=_text_of))}" if missing else None


def certificate_fault(
    pair: Pair, authority_pem: bytes, names: Names, now: datetime, *, renewable: bool = True
) -> str | None:
    """Say why a server's certificate must be replaced, or None: broken, ending, of another authority, other names.

    One that is not `renewable` does until its very end, and whatever it is valid for beside the names.
    """
    try:
        certificate, _ = _matching(pair)
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority_pem))
        present = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, x509.ExtensionNotFound) as error:
        return f"it cannot be read ({error})"
    except Exception as error:  # noqa: BLE001  (cryptography raises InvalidSignature, a plain Exception)
        return f"it is not of this authority ({type(error).__name__})"
    if certificate.not_valid_after_utc - now < (RENEWAL if renewable else timedelta(0)):
        return f"it ends on {certificate.not_valid_after_utc:%Y-%m-%d}"
    missing = set(_general_names(names)) - set(present)
    if not renewable and missing:
        return f"it lacks {_text_of(min(missing, key=_text_of))}"
    return "the names have changed" if renewable and set(present) != set(_general_names(names)) else None


def fingerprint(certificate_pem: bytes) -> str:
    """Return the SHA-256 fingerprint of a certificate as `openssl x509 -fingerprint -sha256` prints it."""
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate_pem.decode())).hexdigest().upper()
    return ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))


def covers(certificate_pem: bytes, host: str) -> bool:
    """Say whether a certificate is valid for a host name or an IP address."""
    certificate = x509.load_pem_x509_certificate(certificate_pem)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    try:
        return ipaddress.ip_address(host) in names.get_values_for_type(x509.IPAddress)
    except ValueError:
        return _covered(host.lower(), {name.lower() for name in names.get_values_for_type(x509.DNSName)})


def check_files(certificate_file: str, key_file: str, ca_file: str | None, names: Names, now: datetime) -> None:
    """Raise ConfigError unless the user's own certificate and key can be read, fit together and serve today.

    Who trusts the certificates in `ca_file` must trust it then; without that file it must not be self-signed.
    """
    chain = _read("cert_file", certificate_file)
    _check_content(chain, certificate_file, names, now)
    _check_trusted(chain, certificate_file, ca_file)
    _read("cert_key_file", key_file)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate_file, key_file, password="")
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise ConfigError(
            f"cert_key_file: {key_file} is not the unencrypted key of {certificate_file}: {reason}"
        ) from error


def _read(key: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"{key}: cannot read {path}: {error.strerror}") from error


def _check_content(pem: bytes, path: str, names: Names, now: datetime) -> None:
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound) as error:
        raise ConfigError(f"cert_file: {path} does not hold a PEM certificate with alternative names") from error
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not start <= now <= end:
        raise ConfigError(
            f"cert_file: {path} is valid from {start:%Y-%m-%d} to {end:%Y-%m-%d}, not today; replace it"
        )
    present = {name.lower() for name in alternatives.get_values_for_type(x509.DNSName)}
    missing = [name for name in names.dns if name != "localhost" and not _covered(name, present)]
    if missing:
        raise ConfigError(f"cert_file: {path} lacks these names, which the instance has: {', '.join(missing)}")


def _check_trusted(chain_pem: bytes, path: str, ca_file: str | None) -> None:
    certificate, *between = _certificates("cert_file", path, chain_pem)
    if ca_file is None:
        if _is_issued_by(certificate, certificate):
            raise ConfigError(
                f"cert_ca_file is missing: {path} is self-signed, so clients must be told to trust it; "
                "set cert_ca_file to the same file"
            )
        return
    if not _leads_to(certificate, between, _certificates("cert_ca_file", ca_file, _read("cert_ca_file", ca_file))):
        raise ConfigError(
            f"cert_ca_file: {path} is not issued by a certificate in {ca_file}, nor is it there itself; "
            "give that of the authority which issued it, and the certificates in between in cert_file"
        )


def _certificates(key: str, path: str, pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise ConfigError(f"{key}: {path} does not hold PEM certificates") from error


def _leads_to(
    certificate: x509.Certificate, between: Sequence[x509.Certificate], anchors: Sequence[x509.Certificate]
) -> bool:
    """Say whether one of the anchors is a certificate, or has issued it, itself or by certificates in between."""
    if any(certificate == anchor or _is_issued_by(certificate, anchor) for anchor in anchors):
        return True
    return any(
        _leads_to(issuer, [other for other in between if other is not issuer], anchors)
        for issuer in between
        if _is_issued_by(certificate, issuer)
    )


def _is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _covered(name: str, present: set[str]) -> bool:
    return name in present or "*." + name.partition(".")[2] in present


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _constraints(names: Names) -> x509.NameConstraints:
    return x509.NameConstraints(permitted_subtrees=sorted(_permitted(names), key=_text_of), excluded_subtrees=None)


def _constraints_of(certificate_pem: bytes) -> x509.NameConstraints:
    certificate = x509.load_pem_x509_certificate(certificate_pem)
    return certificate.extensions.get_extension_for_class(x509.NameConstraints).value


def _permitted(names: Names) -> set[x509.GeneralName]:
    """Return what an authority must be allowed to vouch for: the instance's name and all below it, and addresses."""
    networks = [ipaddress.ip_network(network) for network in _VOUCHED_NETWORKS]
    own = [
        ipaddress.ip_network(address)
        for address in names.addresses
        if not any(address in network for network in networks if network.version == address.version)
    ]
    return {
        *map(x509.DNSName, (names.dns[0], "localhost")),
        *map(x509.IPAddress, (*networks, *own)),
    }


def _general_names(names: Names) -> Iterable[x509.GeneralName]:
    yield from map(x509.DNSName, names.dns)
    yield from map(x509.IPAddress, names.addresses)


def _text_of(name: x509.GeneralName) -> str:
    return str(name.value)


def _matching(pair: Pair) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    certificate, key = x509.load_pem_x509_certificate(pair.certificate), _private_key(pair.key)
    if certificate.public_key() != key.public_key():
        raise ValueError("the key is not the certificate's")
    return certificate, key


def _private_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("the key is not an ECDSA key")
    return key


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    return Pair(
        certificate=certificate.public_bytes(serialization.Encoding.PEM),
        key=key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )
