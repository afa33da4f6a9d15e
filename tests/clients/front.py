"""What stands between clients and the gateway in a federation: TLS, and a redirector like Dynafed."""

import contextlib
import datetime as dt
import http.server
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.machine import scaled


def make_certificate(folder: Path) -> Path:
    """A certificate for `localhost` with its key in one file, and the folder in the form of a store of authorities."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "localhost.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(secret + certificate.public_bytes(serialization.Encoding.PEM))
    return path


@contextlib.contextmanager
def tls_front(port: int, certificate: Path) -> Iterator[str]:
    """Ends TLS before a port; gives the URL."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

        def serve(raw: socket.socket) -> None:
            with contextlib.suppress(OSError), context.wrap_socket(raw, server_side=True) as client:
                server = socket.create_connection(("127.0.0.1", port))
                threading.Thread(target=pump, args=(client, server), daemon=True).start()
                pump(server, client)

        threading.Thread(target=accept, daemon=True).start()
        yield f"https://localhost:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(1 << 16):
            target.sendall(piece)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


Place = Callable[[str], str]


@contextlib.contextmanager
def redirector(*, store: Place, checksums: Place, redirect_heads: bool) -> Iterator[str]:
    """A stand-in for Dynafed, which has no bytes: GET is redirected to the store.

    Args:
        store: the URL in the store for a path.
        checksums: the URL at the gateway for a path.
        redirect_heads: whether HEAD is redirected to the gateway too (`candochecksum`), or answered with what the
            gateway says, as with a `checksumcalc` script.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.answer(302, {"Location": store(self.path)})

        def do_HEAD(self) -> None:
            if redirect_heads:
                self.answer(302, {"Location": checksums(self.path)})
                return
            passed = {name: self.headers[name] for name in ("X-Auth-Token", "Want-Digest") if name in self.headers}
            found = httpx.head(checksums(self.path), headers=passed, timeout=scaled(60))
            kept = {name: found.headers[name] for name in ("Content-Length", "Digest") if name in found.headers}
            self.answer(found.status_code, kept)

        def do_PROPFIND(self) -> None:
            self.answer(405, {})

        def answer(self, status: int, fields: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": "0", **fields}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
