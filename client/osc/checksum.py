"""`openstack checksum …`."""

from __future__ import annotations

import argparse
import itertools

from osc_lib import exceptions
from osc_lib.command import command

from client.osc.base import Listed, Shown, WithProxy, shown
from client.sdk.values import Checksum

_OBJECT = "<container>/<object>"


class ShowChecksum(WithProxy, command.ShowOne):
    """Show checksums of an object; they are computed if they are not known."""

    EXAMPLES: tuple[str, ...] = (
        "checksum show demo/file.txt",
        "checksum show --algorithm sha256 -f value -c sha256 demo/file.txt",
    )
    STORE = False

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--algorithm",
            action="append",
            default=[],
            metavar="<algorithm>",
            help="Algorithm, such as sha256 (repeat for several; default: those of the cloud)",
        )
        parser.add_argument("--version-id", metavar="<version>", help="Version of the object")
        parser.add_argument("object", metavar=_OBJECT, help="The object")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        container, _, name = parsed_args.object.partition("/")
        if not container or not name:
            raise exceptions.CommandError(f"'{parsed_args.object}' does not name an object. Give {_OBJECT}.")
        found = self.proxy.checksum(
            container, name, algorithms=parsed_args.algorithm, version=parsed_args.version_id, store=self.STORE
        )
        fields = {"container": found.container, "object": found.object, "size": found.size, "etag": found.etag}
        return shown({**fields, **found.digests, **({"stored": found.stored} if self.STORE else {})})


class CreateChecksum(ShowChecksum):
    """Compute checksums of an object, and store them in its metadata."""

    EXAMPLES = ("checksum create --algorithm adler32 --algorithm md5 demo/file.txt",)
    STORE = True


class ListChecksum(WithProxy, command.Lister):
    """List checksums of the objects of a container."""

    EXAMPLES = ("checksum list demo", "checksum list --prefix raw/ --algorithm md5 -f csv demo")

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("--prefix", metavar="<prefix>", default="", help="Only objects whose names begin with this")
        parser.add_argument(
            "--algorithm", metavar="<algorithm>", default="", help="Algorithm (default: those of the cloud)"
        )
        parser.add_argument("--store", action="store_true", help="Store them in the objects' metadata")
        parser.add_argument("container", metavar="<container>", help="The container")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Listed:
        found = self.proxy.checksums(
            parsed_args.container,
            prefix=parsed_args.prefix,
            algorithm=parsed_args.algorithm,
            store=parsed_args.store,
        )
        # The names of the columns are known when the first digest is.
        before: list[Checksum] = []
        names: tuple[str, ...] = (parsed_args.algorithm,) if parsed_args.algorithm else ()
        for each in found:
            before.append(each)
            if each.digests:
                names = tuple(each.digests)
                break
        rows = (
            (each.object, each.size, *(each.digests.get(name, "") for name in names), each.error or "")
            for each in itertools.chain(before, found)
        )
        return ("Object", "Size", *names, "Error"), rows


class SweepChecksum(WithProxy, command.ShowOne):
    """Read all objects of a container, and compare it with a dump."""

    EXAMPLES = ("checksum sweep --wait demo", "checksum sweep --object-prefix raw/ --against dumps/rucio.csv demo")

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        # `--prefix` belongs to the formatter of values for shells.
        parser.add_argument(
            "--object-prefix", metavar="<prefix>", default="", help="Only objects whose names begin with this"
        )
        parser.add_argument(
            "--algorithm",
            action="append",
            default=[],
            metavar="<algorithm>",
            help="Algorithm (repeat for several; default: those of the cloud)",
        )
        parser.add_argument("--against", metavar=_OBJECT, help="Dump with which the container is compared")
        parser.add_argument(
            "--dump-prefix", metavar="<text>", default="", help="Text that is removed from each path of the dump"
        )
        parser.add_argument("--store", action="store_true", help="Store them in the objects' metadata")
        parser.add_argument(
            "--force", action="store_true", help="Read every object, and compare its bytes with its ETag"
        )
        parser.add_argument(
            "--result-format",
            action="append",
            default=[],
            choices=["csv", "md5sum"],
            help="Form of the results besides JSON lines (repeat for several)",
        )
        parser.add_argument(
            "--output", metavar="<container>[/<prefix>]", help="Where the results are written (default: sweeps)"
        )
        parser.add_argument("--max-bytes", type=int, metavar="<number>", help="Maximum bytes read per second")
        parser.add_argument(
            "--max-requests", type=int, metavar="<number>", help="Maximum requests to the store per second"
        )
        parser.add_argument("--wait", action="store_true", help="Wait for the end, and show what was found")
        parser.add_argument("container", metavar="<container>", help="The container")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        begun = self.proxy.create_sweep(
            parsed_args.container,
            prefix=parsed_args.object_prefix,
            algorithms=tuple(parsed_args.algorithm),
            against=parsed_args.against,
            dump_prefix=parsed_args.dump_prefix,
            store=parsed_args.store,
            force=parsed_args.force,
            formats=tuple(parsed_args.result_format),
            output=parsed_args.output,
            max_bytes=parsed_args.max_bytes,
            max_requests=parsed_args.max_requests,
        )
        if not parsed_args.wait:
            return shown({"id": begun.id, "subject": begun.subject, "state": begun.state})
        ended = self.proxy.wait_for_sweep(begun, progress=self.say)
        summary = self.proxy.sweep_summary(ended)
        output = summary["output"]
        return shown(
            {
                "id": ended.id,
                "state": ended.state,
                "objects": summary["objects"],
                "bytes": summary["bytes"],
                **summary["findings"],
                "output": f"{output['container']}/{output['prefix']}",
            }
        )


class ListSweeps(WithProxy, command.Lister):
    """List integrity sweeps of the project, the newest first."""

    EXAMPLES = ("checksum sweep list",)

    def take_action(self, parsed_args: argparse.Namespace) -> Listed:
        del parsed_args
        return ("ID", "State", "Subject", "Objects", "Total"), (
            (each.id, each.state, each.subject, each.progress["objects"], each.total["objects"])
            for each in self.proxy.sweeps()
        )
