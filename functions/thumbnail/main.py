"""A sample function with an object as input and one as output: a thumbnail of a PNG image. No dependencies.

It needs no credential: the gateway gives it a request to read the image, and one to write the thumbnail
(docs/how-to/inputs-and-outputs.md).
"""

import json
import os
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import parse_qs, urlsplit
from urllib.request import Request, urlopen

from png import ImageError, decode, encode, thumbnail

DEFAULT_WIDTH, MAX_WIDTH = 64, 1_024
MAX_BYTES = 64 << 20
STORE_SECONDS = 60


class RequestError(Exception):
    """The call cannot be answered; `status` and the message are for the caller."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class Handler(BaseHTTPRequestHandler):
    """Answers `POST /?width=…`."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        # The body is not used, but the next request begins after it; with chunks, there is none on this connection.
        self.close_connection = self.close_connection or "Transfer-Encoding" in self.headers
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            self._reply(HTTPStatus.OK, self._thumbnail())
        except RequestError as error:
            self._reply(error.status, {"message": str(error)})

    def _thumbnail(self) -> dict[str, object]:
        width = parse_qs(urlsplit(self.path).query).get("width", [str(DEFAULT_WIDTH)])[0]
        if not width.isascii() or not width.isdecimal() or not 0 < int(width) <= MAX_WIDTH:
            raise RequestError(HTTPStatus.BAD_REQUEST, f"The width must be a number from 1 to {MAX_WIDTH}.")
        source, target = self._object("Osfaas-Input"), self._object("Osfaas-Output")
        if source["size"] > MAX_BYTES:
            raise RequestError(HTTPStatus.UNPROCESSABLE_ENTITY, f"The image has more than {MAX_BYTES} bytes.")
        try:
            image = decode(sent(source))
            made = thumbnail(image, int(width))
            sent(target, encode(made), {"Content-Type": "image/png"})
        except ImageError as error:
            raise RequestError(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from error
        except (HTTPError, URLError) as error:
            # Without the URL, which is a bearer credential.
            raise RequestError(HTTPStatus.BAD_GATEWAY, f"The object store failed: {error.reason}.") from error
        return {
            "from": {"width": image.width, "height": len(image.rows)},
            "to": {"width": made.width, "height": len(made.rows)},
        }

    def _object(self, field: str) -> Any:
        """The one object in a field."""
        found = json.loads("[" + ", ".join(self.headers.get_all(field, [])) + "]")
        if len(found) != 1:
            raise RequestError(HTTPStatus.BAD_REQUEST, "Exactly one input and one output are needed.")
        return found[0]

    def _reply(self, status: HTTPStatus, document: object) -> None:
        body = json.dumps(document).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def sent(request: dict[str, Any], body: bytes | None = None, more: dict[str, str] | None = None) -> bytes:
    """Sends the request that reads or writes an object; returns the body of the reply."""
    fields = {**request["headers"], **(more or {})}
    described = Request(request["url"], body, fields, method=request["method"])  # noqa: S310 - the gateway's URL
    with urlopen(described, timeout=STORE_SECONDS) as reply:  # noqa: S310
        content: bytes = reply.read(MAX_BYTES + 1)
    return content


if __name__ == "__main__":
    host, port = os.environ.get("THUMBNAIL_HOST", "0.0.0.0"), int(os.environ.get("PORT", "8080"))  # noqa: S104 - in a pod
    ThreadingHTTPServer((host, port), Handler).serve_forever()
