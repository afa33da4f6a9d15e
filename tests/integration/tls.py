"""A TLS end before a port, with a certificate of its own authority, that keeps what it was sent."""

import contextlib
import datetime as dt
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass
class TlsFront:
    """One that runs: its URL, the file of its authority, and the bytes that it was sent after the handshake."""

    url: str
    authority: Path
    sent: bytearray = field(default_factory=bytearray)
    refused: int = 0


def make_certificate(path: Path) -> Path:
    """A self-signed certificate for 127.0.0.1; the key is beside it, in `*.key`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, path.stem)])
    now = dt.datetime.now(dt.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    path.with_suffix(".key").write_bytes(key.private_bytes(encoding, form, serialization.NoEncryption()))
    return path


@contextlib.contextmanager
def tls_front(port: int, certificate: Path) -> Iterator[TlsFront]:
    """Ends TLS before a port on loopback."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        front = TlsFront(f"https://127.0.0.1:{listener.getsockname()[1]}", certificate)

        def serve(raw: socket.socket) -> None:
            try:
                client = context.wrap_socket(raw, server_side=True)
            except OSError:
                front.refused += 1
                raw.close()
                return
            with client, socket.create_connection(("127.0.0.1", port)) as server:
                threading.Thread(target=pump, args=(client, server, front.sent), daemon=True).start()
                pump(server, client, bytearray())

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield front


def pump(source: socket.socket, target: socket.socket, kept: bytearray) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(1 << 16):
            kept += piece
            target.sendall(piece)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
