"""keystonemiddleware in front of plain applications, for gunicorn; and its cost alone, as a program.

    gunicorn middleware_app:application    does nothing; it also answers as an authorisation service of Envoy
    gunicorn middleware_app:known_digest   `HEAD /{container}/{object}`: the MD5 that Swift keeps, by swiftclient
    python middleware_app.py CALLS         prints the CPU seconds of so many calls with a token that is cached

Runs in Keystone's environment. `BENCH_AUTH_URL`, `BENCH_PASSWORD` (of the user `swift`) and `BENCH_TOKEN` say where and
with what. Without memcached the middleware keeps tokens in its own memory, which is the cheapest that it can do.
"""

import base64
import logging
import os
import sys
import threading
import time

import swiftclient
from keystonemiddleware import auth_token


def noop(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]


class KnownDigest:
    """What a user would build: a HEAD with the caller's token, and the digest that is found there."""

    def __init__(self):
        self._local = threading.local()

    def __call__(self, environ, start_response):
        container, _, name = environ["PATH_INFO"].lstrip("/").partition("/")
        head = swiftclient.head_object(
            os.environ["BENCH_ACCOUNT_URL"],
            environ["HTTP_X_AUTH_TOKEN"],
            container,
            name,
            http_conn=self._connection(),
        )
        digest = "md5=:" + base64.b64encode(bytes.fromhex(head["etag"])).decode() + ":"
        start_response("200 OK", [("Repr-Digest", digest), ("Content-Length", head["content-length"])])
        return []

    def _connection(self):
        if not hasattr(self._local, "connection"):
            self._local.connection = swiftclient.http_connection(os.environ["BENCH_ACCOUNT_URL"])
        return self._local.connection


def make_app(inner=noop):
    logging.disable(logging.WARNING)  # it warns on each start that its memory is its own
    return auth_token.AuthProtocol(
        inner,
        {
            "auth_type": "password",
            "auth_url": os.environ["BENCH_AUTH_URL"],
            "www_authenticate_uri": os.environ["BENCH_AUTH_URL"],
            "username": "swift",
            "password": os.environ["BENCH_PASSWORD"],
            "user_domain_id": "default",
            "project_name": "service",
            "project_domain_id": "default",
        },
    )


def main(calls: int) -> None:
    app = make_app()

    def call() -> str:
        statuses = []
        environ = {
            "REQUEST_METHOD": "HEAD",
            "PATH_INFO": "/",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "wsgi.url_scheme": "http",
            "HTTP_X_AUTH_TOKEN": os.environ["BENCH_TOKEN"],
        }
        app(environ, lambda status, headers, exc_info=None: statuses.append(status))
        return statuses[0]

    for _ in range(50):
        assert call() == "200 OK"
    started = time.process_time()
    for _ in range(calls):
        call()
    print(time.process_time() - started)


if __name__ == "__main__":
    main(int(sys.argv[1]))
else:
    application = make_app()
    known_digest = make_app(KnownDigest())
