"""`openstack function tenant verify`: in the gateway's distribution, because it talks to the cluster itself."""

import argparse
import os
from pathlib import Path
from typing import Any

from osc_lib import exceptions
from osc_lib.command import command

from client.osc.base import Listed, WithProxy
from policies.errors import PolicyError
from policies.model import IsolationLevel
from tenancy.commands import replaying
from tenancy.commands.access import Access
from tenancy.commands.replaying import VerifyRequest, address_of, replayed
from tenancy.model.errors import TenancyError
from tenancy.platform.platform_file import read_platform

_COLUMNS = ("Attack", "Fails From", "Verdict", "Evidence", "Positive Control", "Replays")
_EXIT_CODES = (
    "Exit codes: 0 every attack that the level covers was proved to fail, 1 an attack succeeded or the replay failed,"
    " 2 wrong usage, 3 no attack succeeded but not all were proved to fail."
)


class VerifyTenant(WithProxy, command.Lister):
    """Replay attacks from a tenant on another tenant and the platform. The cluster must be accessible."""

    EXAMPLES = ("function tenant verify --platform platform.yaml --against cms --level L2 atlas",)
    # As in `osfaas`: a known project id needs no Keystone.
    auth_required = False
    _exit_code = 0

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Options as `osfaas tenant verify` has them."""
        parser = super().get_parser(prog_name)
        parser.epilog = f"{_EXIT_CODES}\n\n{parser.epilog}"
        default = os.environ.get("OSFAAS_PLATFORM_FILE")
        help_ = "Platform file. Default: $OSFAAS_PLATFORM_FILE."
        parser.add_argument("--platform", metavar="<file>", default=default, required=default is None, help=help_)
        help_ = "Kubeconfig file. Default: $KUBECONFIG, the pod's service account, or ~/.kube/config."
        parser.add_argument("--kubeconfig", metavar="<file>", type=Path, help=help_)
        parser.add_argument("--context", metavar="<name>", help="Context of the kubeconfig. Default: the current one.")
        parser.add_argument("--against", metavar="<project>", help=replaying.AGAINST)
        levels = [level.value for level in IsolationLevel]
        parser.add_argument("--level", choices=levels, help=replaying.LEVEL)
        parser.add_argument("--image", metavar="<image>", help=replaying.IMAGE)
        help_ = f"{replaying.KEYSTONE} Default: that of the cloud."
        parser.add_argument("--keystone", metavar="<address>", type=_address, help=help_)
        parser.add_argument("--store", metavar="<address>", type=_address, help=replaying.STORE)
        parser.add_argument("--project-domain", metavar="<project-domain>", help="Domain of the projects (name or ID)")
        parser.add_argument("project", metavar="<project>", help="Project (name or ID)")
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Replays them, prints what was found, and exits with the code for it."""
        return super().run(parsed_args) or self._exit_code

    def take_action(self, parsed_args: argparse.Namespace) -> Listed:
        """What was found, an attack a row."""
        from tenancy.isolation.verdict import exit_status

        level = parsed_args.level
        wanted = VerifyRequest(
            project=parsed_args.project,
            domain=parsed_args.project_domain,
            against=parsed_args.against,
            level=IsolationLevel(level) if level else None,
            image=parsed_args.image,
            keystone=parsed_args.keystone or self._keystone(),
            store=parsed_args.store,
        )
        try:
            found = replayed(self._access(parsed_args), read_platform(Path(parsed_args.platform)), wanted)
        except (TenancyError, PolicyError) as error:
            raise exceptions.CommandError(str(error)) from error
        self._exit_code = exit_status(found.findings)
        self.say(f"{found.tenant} against {found.victim} and the platform, at level {found.level.value}")
        rows = (
            (
                finding.attack.name,
                finding.attack.fails_from.value,
                finding.verdict.value.lower(),
                f"{finding.evidence.outcome.value}: {finding.evidence.detail}",
                f"{finding.control.outcome.value}: {finding.control.detail}",
                finding.attack.summary,
            )
            for finding in found.findings
        )
        return _COLUMNS, rows

    def _access(self, parsed_args: argparse.Namespace) -> Access:
        """The cluster of the options, and the Keystone of `openstack`."""
        return Access(
            parsed_args.kubeconfig, parsed_args.context, Path(parsed_args.platform), find_project=self._find_project
        )

    def _find_project(self, name: str, domain: str | None) -> str:
        """The id of a project, as the commands beside this one find it."""
        # `openstack` logs in before a command that requires it; this one requires it only for names.
        self.auth_required = True
        self.app.prepare_to_run_command(self)
        return self.project_id(name, domain)

    def _keystone(self) -> tuple[str, int] | None:
        """Keystone's address, if the cloud has one."""
        manager: Any = self.app.client_manager
        url = manager.get_configuration().get("auth", {}).get("auth_url")
        return address_of(url) if url else None


def _address(value: str) -> tuple[str, int]:
    """An address; argparse prints the reason of a refusal in place of the name of the function."""
    try:
        return address_of(value)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
