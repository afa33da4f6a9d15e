"""`openstack function info show`."""

from __future__ import annotations

import argparse

from osc_lib.command import command

from client.osc.base import Shown, WithProxy, shown


class ShowInfo(WithProxy, command.ShowOne):
    """Show what the service offers: algorithms, optional parts, limits of requests."""

    EXAMPLES = ("function info show", "function info show -f json -c features")

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        del parsed_args
        return shown(vars(self.proxy.info()))
