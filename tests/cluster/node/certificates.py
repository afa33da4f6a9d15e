"""The cluster's certificates: one authority, one certificate per program, good for a day."""

from __future__ import annotations

import datetime as dt
import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.cluster.node.facts import API_SERVICE_ADDRESS, NODE_ADDRESS, NODE_NAME

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Authority:
    """Signs certificates into one folder."""

    folder: Path
    key: rsa.RSAPrivateKey
    certificate: x509.Certificate

    def issue(self, name: str, *, user: str, groups: tuple[str, ...] = (), hosts: tuple[str, ...] = ()) -> None:
        """Writes NAME.crt and NAME.key, for a client named so and a server at these hosts."""
        key = _new_key()
        builder = _builder(_subject(user, groups), self.certificate.subject, key)
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        if hosts:
            alternatives = x509.SubjectAlternativeName([_alternative(host) for host in hosts])
            builder = builder.add_extension(alternatives, critical=False)
        _write(self.folder / name, key, builder.sign(self.key, hashes.SHA256()))

    def kubeconfig(self, name: str, server: str) -> str:
        """A kubeconfig for the client that was issued under this name."""
        files = {
            "client-certificate": str(self.folder / f"{name}.crt"),
            "client-key": str(self.folder / f"{name}.key"),
        }
        cluster = {"server": server, "certificate-authority": str(self.folder / "ca.crt")}
        context = {"cluster": "test-cluster", "user": name, "namespace": "default"}
        return yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "test-cluster",
                "clusters": [{"name": "test-cluster", "cluster": cluster}],
                "users": [{"name": name, "user": files}],
                "contexts": [{"name": "test-cluster", "context": context}],
            }
        )


def make_authority(folder: Path) -> Authority:
    """A new authority: ca.crt and ca.key."""
    key = _new_key()
    subject = _subject("test-cluster", ())
    constraints = x509.BasicConstraints(ca=True, path_length=0)
    builder = _builder(subject, subject, key).add_extension(constraints, critical=True)
    certificate = builder.sign(key, hashes.SHA256())
    _write(folder / "ca", key, certificate)
    return Authority(folder, key, certificate)


def issue_all(authority: Authority) -> None:
    """The certificates of all programs, and the key of service-account tokens."""
    service = "kubernetes.default.svc"
    names = ("localhost", "kubernetes", service, f"{service}.cluster.local")
    authority.issue("apiserver", user="kube-apiserver", hosts=(*names, "127.0.0.1", NODE_ADDRESS, API_SERVICE_ADDRESS))
    authority.issue("apiserver-kubelet", user="kube-apiserver-kubelet", groups=("system:masters",))
    authority.issue("front-proxy", user="front-proxy-client")
    authority.issue("admin", user="admin", groups=("system:masters",))
    authority.issue("controller-manager", user="system:kube-controller-manager")
    authority.issue("scheduler", user="system:kube-scheduler")
    node = (NODE_NAME, NODE_ADDRESS)
    authority.issue("kubelet", user=f"system:node:{NODE_NAME}", groups=("system:nodes",), hosts=node)
    authority.issue("service-accounts", user="service-accounts")


def _new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _subject(user: str, groups: tuple[str, ...]) -> x509.Name:
    organisations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*organisations, x509.NameAttribute(NameOID.COMMON_NAME, user)])


def _builder(subject: x509.Name, issuer: x509.Name, key: rsa.RSAPrivateKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(days=1))
    )


def _write(path: Path, key: rsa.RSAPrivateKey, certificate: x509.Certificate) -> None:
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    path.with_suffix(".key").write_bytes(private)
    path.with_suffix(".crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
