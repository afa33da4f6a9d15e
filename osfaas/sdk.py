"""The SDK: the service `function` for openstacksdk.

import osfaas.sdk

conn = osfaas.sdk.connect(cloud="mycloud")
for function in conn.function.functions():
    print(function.name, function.url)
"""

from client.sdk.connection import Connection, FunctionService, connect, hook
from client.sdk.function import Function, FunctionLog, Revision, Tenant
from client.sdk.operation import Operation
from client.sdk.proxy import Proxy
from client.sdk.secret import Secret
from client.sdk.sweep import Sweep
from client.sdk.trigger import Trigger
from client.sdk.usage import Usage
from client.sdk.values import Checksum, Limit

__all__ = [
    "Checksum",
    "Connection",
    "Function",
    "FunctionLog",
    "FunctionService",
    "Limit",
    "Operation",
    "Proxy",
    "Revision",
    "Secret",
    "Sweep",
    "Tenant",
    "Trigger",
    "Usage",
    "connect",
    "hook",
]
