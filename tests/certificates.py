"""A certificate authority for one test, with certificates for servers and clients."""

from __future__ import annotations

import datetime
import ssl
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAY = datetime.timedelta(days=1)
_NO_USAGE = dict.fromkeys(
    (
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
        *("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    ),
    False,
)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


class Authority:
    """Writes its certificate `ca`, and signed pairs on request, into a directory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        signs = _NO_USAGE | {"digital_signature": True, "key_cert_sign": True, "crl_sign": True}
        self.ca = folder / "ca.crt"
        self.ca.write_bytes(
            self._sign(
                "test authority",
                self.key.public_key(),
                (x509.BasicConstraints(ca=True, path_length=None), True),
                (x509.KeyUsage(**signs), True),
            )
        )

    def pair(self, name: str, *alternatives: str, days: int = 10) -> tuple[Path, Path]:
        """A certificate for these names and addresses (127.0.0.1 if none), and its key: files.

        It is for servers and clients, and expires in `days` days.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        subjects = [_alternative(one) for one in alternatives or ("127.0.0.1",)]
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        certificate = self._sign(
            name,
            key.public_key(),
            (x509.SubjectAlternativeName(subjects), False),
            (x509.ExtendedKeyUsage(usages), False),
            days=days,
        )
        paths = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        paths[0].write_bytes(certificate)
        paths[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return paths

    def server(self, *names: str, days: int = 10) -> ssl.SSLContext:
        """The context of a server that requests a client certificate, but does not require it."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(self.ca))
        context.load_cert_chain(*self.pair("server", *names, days=days))
        context.verify_mode = ssl.CERT_OPTIONAL
        return context

    def _sign(
        self,
        subject: str,
        public: ec.EllipticCurvePublicKey,
        *extensions: tuple[x509.ExtensionType, bool],
        days: int = 10,
    ) -> bytes:
        """A certificate in PEM. Each extension is critical or not."""
        now = datetime.datetime.now(datetime.UTC)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(subject))
            .issuer_name(_name("test authority"))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 20 * _DAY)
            .not_valid_after(now + days * _DAY)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(issuer, critical=False)
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        certificate = builder.sign(self.key, hashes.SHA256())
        return certificate.public_bytes(serialization.Encoding.PEM)
