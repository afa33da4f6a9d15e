"""`openstack function invoke`."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from osc_lib import exceptions
from requests import Response

from client.functions.invoke import Invocation, body_of, headers_of, result_of
from client.osc.base import WithProxy, or_fail, print_body


@dataclass(frozen=True)
class _Head:
    """The head of a reply, with the names of the standard library."""

    answer: Response

    @property
    def status(self) -> int:
        return self.answer.status_code

    @property
    def reason(self) -> str:
        return self.answer.reason

    def getheader(self, name: str) -> str | None:
        """A header field."""
        return self.answer.headers.get(name)


class InvokeFunction(WithProxy):
    """Call a function and print its reply."""

    EXAMPLES = (
        "function invoke hello '/?name=Ada'",
        "function invoke --data @image.png resize '/images/7?width=200' > small.png",
        "function invoke --async report /2026",
        "function invoke --input demo/cat.png --output demo/cat-small.png thumbnail",
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        repeated = (
            ("--input", "[name:]<container>/<object>", "Object that the function may read (repeat for several)"),
            ("--output", "[name:]<container>/<object>", "New object that it may write (repeat for several)"),
            ("--header", "<name: value>", "Header field (repeat for several)"),
        )
        for option, metavar, help_ in repeated:
            parser.add_argument(option, action="append", default=[], metavar=metavar, help=help_)
        parser.add_argument("--overwrite", action="store_true", help="Let outputs replace objects that exist")
        parser.add_argument(
            "--data", metavar="<body>|@<file>", help="Body of the request; @<file>: from a file, @-: from stdin"
        )
        parser.add_argument("--method", metavar="<method>", default="POST", help="Method (default: POST)")
        parser.add_argument(
            "--async",
            dest="asynchronous",
            action="store_true",
            help="Print the ID of an operation at once; 'function operation result' has the reply",
        )
        parser.add_argument("function", metavar="<function>", help="Name of the function, or <function>@<tag>")
        parser.add_argument("path", metavar="<path>", nargs="?", default="", help="Path of the call, with its query")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        body, _length = or_fail(lambda: body_of(parsed_args.data))
        fields = or_fail(lambda: headers_of(tuple(parsed_args.header)))
        call = {
            "method": parsed_args.method,
            "data": body,
            "headers": fields,
            "inputs": parsed_args.input,
            "outputs": parsed_args.output,
            "overwrite": parsed_args.overwrite,
        }
        if parsed_args.asynchronous:
            self.app.stdout.write(f"{self.proxy.start_invocation(parsed_args.function, parsed_args.path, **call).id}\n")
        else:
            self._print(self.proxy.invoke(parsed_args.function, parsed_args.path, stream=True, **call), parsed_args)

    def _print(self, answer: Response, parsed_args: argparse.Namespace) -> None:
        print_body(answer)
        call = Invocation(parsed_args.function, "", tuple(parsed_args.input), tuple(parsed_args.output))
        result = result_of(_Head(answer), call)
        for line in result.lines:
            self.say(line)
        if not result.succeeded:
            raise exceptions.CommandError("The function did not succeed.")
