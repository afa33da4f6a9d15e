"""Entry points of oslo.policy's own tools: `oslopolicy-sample-generator`, `-policy-generator`, `-validator` and others.

They find our rules under the namespace `osfaas`, and the operator's file where the processes find it.
"""

import os
from collections.abc import Iterable

from oslo_config import cfg
from oslo_policy import opts
from oslo_policy.policy import Enforcer, RuleDefault

from gateway.policy.defaults import DEFAULTS
from gateway.policy.rules import build_enforcer
from gateway.settings import settings_from


def list_rules() -> Iterable[RuleDefault]:
    """All rules with their defaults."""
    return DEFAULTS


def get_enforcer() -> Enforcer:
    """The enforcer of the file that OSFAAS_POLICY_FILE names; without it, of the defaults."""
    enforcer = build_enforcer(settings_from(os.environ).policy_file)
    # The validator opens the file under the name that it finds there.
    opts.set_defaults(cfg.CONF, policy_file=enforcer.policy_file)
    return enforcer
