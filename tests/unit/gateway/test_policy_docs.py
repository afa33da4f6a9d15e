"""`docs/reference/policy.md` is what the rules say of themselves, and the guide's commands print what it says.

python tests/unit/gateway/test_policy_docs.py > docs/reference/policy.md
"""

import os
import re
import subprocess
import sys
from pathlib import Path

from oslo_policy.policy import DocumentedRuleDefault, RuleDefault

from gateway.policy.defaults import DEFAULTS
from tests.machine import scaled

DOCS = Path(__file__).resolve().parents[3] / "docs"
PAGE, GUIDE = DOCS / "reference" / "policy.md", DOCS / "how-to" / "policy.md"
COMMANDS = re.compile(r"```bash\n((?:(?!```).)*)```(?:\n\n```text\n(.*?)```)?", re.DOTALL)
HEAD = """\
# Policy rules

The rules that decide who may do what, with their defaults. `OSFAAS_POLICY_FILE` names a file with others, in
oslo.policy's form: [change who may do what](../how-to/policy.md). A refusal names the rule: `role.missing`, or
`admin.required` for administration. This page is generated.

## Rules that others refer to

| rule | default | who that is |
|---|---|---|
"""
OPERATIONS = """
## Rules of operations

| rule | default | operations | scope | what it allows |
|---|---|---|---|---|
"""


def base_row(rule: RuleDefault) -> str:
    return f"| `{rule.name}` | `{rule.check_str}` | {rule.description} |\n"


def row(rule: DocumentedRuleDefault) -> str:
    paths: dict[str, list[str]] = {}
    for each in rule.operations:
        paths.setdefault(each["path"], []).append(each["method"])
    operations = "<br>".join(f"`{', '.join(methods)} {path}`" for path, methods in paths.items())
    scopes = ", ".join(rule.scope_types or ())
    return f"| `{rule.name}` | `{rule.check_str}` | {operations} | {scopes} | {rule.description} |\n"


def page() -> str:
    documented = [each for each in DEFAULTS if isinstance(each, DocumentedRuleDefault)]
    base = [each for each in DEFAULTS if not isinstance(each, DocumentedRuleDefault)]
    return HEAD + "".join(map(base_row, base)) + OPERATIONS + "".join(map(row, documented))


def test_reference_is_what_the_rules_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run this file, and write what it prints into the page"


def test_commands_of_the_guide_print_what_it_says(tmp_path: Path) -> None:
    """All in one shell, from top to bottom."""
    found = COMMANDS.findall(GUIDE.read_text(encoding="utf-8"))
    assert [bool(output) for _, output in found] == [True, False, True]
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "".join(commands for commands, _ in found)],
        env={"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(tmp_path), "LANG": "C.UTF-8"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=scaled(120),
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "".join(output for _, output in found)), done.stderr


if __name__ == "__main__":
    print(page(), end="")
