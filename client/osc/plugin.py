"""What OpenStackClient asks of a plug-in: how to make the client of its service."""

from __future__ import annotations

import argparse
from typing import Any

from osc_lib import utils

from client.sdk.connection import FunctionService
from client.sdk.proxy import Proxy

API_NAME = "function"
API_VERSION_OPTION = "os_function_api_version"
API_VERSIONS = ("1", "1.0")


def make_client(instance: Any) -> Proxy:
    """The proxy of the service, on the connection that the other commands use."""
    connection = instance.sdk_connection
    connection.add_service(FunctionService())
    proxy: Proxy = connection.function
    return proxy


def build_option_parser(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Adds the global option of the version."""
    parser.add_argument(
        "--os-function-api-version",
        metavar="<function-api-version>",
        default=utils.env("OS_FUNCTION_API_VERSION", default=API_VERSIONS[0]),
        help="Function API version, default=1 (Env: OS_FUNCTION_API_VERSION)",
    )
    return parser
