"""keystonemiddleware in front of an application that does nothing, for gunicorn; and its cost alone, as a program.

    python middleware_app.py CALLS     prints the CPU seconds of so many calls with a token that is cached

Runs in Keystone's environment. `BENCH_AUTH_URL`, `BENCH_PASSWORD` (of the user `swift`) and `BENCH_TOKEN` say where and
with what. Without memcached the middleware keeps tokens in its own memory, which is the cheapest that it can do.
"""

import logging
import os
import sys
import time

from keystonemiddleware import auth_token


def noop(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]


def make_app():
    logging.disable(logging.WARNING)  # it warns on each start that its memory is its own
    return auth_token.AuthProtocol(
        noop,
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
