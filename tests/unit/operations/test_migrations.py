"""Migrations leave the version that still runs working: they add, and take away only what a release has left unused."""

import ast
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

from operations.store import upgrade
from operations.store.schema import metadata

VERSIONS = Path(upgrade.__file__).with_name("migrations") / "versions"
ADDING = {"create_table", "create_index", "add_column"}
# What the version that still runs may need. A migration that does it names the release that has stopped using it.
TAKING = {"drop_column", "drop_table", "drop_index", "drop_constraint"}


def faults_of(source: str) -> list[str]:
    """What makes a migration unsafe while the version before it runs."""
    tree = ast.parse(source)
    unused_since = {
        target.id for node in tree.body if isinstance(node, ast.Assign) for target in node.targets
        if isinstance(target, ast.Name)
    }  # fmt: skip
    faults = []
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        if not (isinstance(node.func.value, ast.Name) and node.func.value.id == "op"):
            continue
        name = node.func.attr
        if name in TAKING and "UNUSED_SINCE" not in unused_since:
            faults.append(f"{name} without UNUSED_SINCE")
        elif name not in ADDING | TAKING:
            faults.append(f"{name} changes what the version before uses")
        elif name == "add_column" and not _optional(node):
            faults.append("add_column: neither nullable nor with a default")
    return faults


def _optional(call: ast.Call) -> bool:
    """Whether the version before can insert rows without the column."""
    column = call.args[1]
    assert isinstance(column, ast.Call)
    said = {keyword.arg: keyword.value for keyword in column.keywords}
    nullable = said.get("nullable")
    return "server_default" in said or (isinstance(nullable, ast.Constant) and nullable.value is True)


@pytest.mark.parametrize("path", sorted(VERSIONS.glob("v*.py")), ids=lambda path: path.stem)
def test_migration_leaves_the_version_before_working(path: Path) -> None:
    assert faults_of(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "step",
    [
        "op.drop_column('operations', 'state')",
        "op.alter_column('operations', 'state', new_column_name='phase')",
        "op.add_column('operations', sa.Column('cost', sa.Integer, nullable=False))",
        "op.execute('DROP TABLE operations')",
        "op.rename_table('operations', 'works')",
    ],
)
def test_unsafe_steps_are_found(step: str) -> None:
    assert len(faults_of(step)) == 1


def test_safe_steps_pass() -> None:
    assert faults_of("op.add_column('operations', sa.Column('cost', sa.Integer, nullable=True))") == []
    assert (
        faults_of("op.add_column('operations', sa.Column('cost', sa.Integer, nullable=False, server_default='0'))")
        == []
    )
    assert faults_of("UNUSED_SINCE = '1.4'\nop.drop_column('operations', 'cost')") == []


def test_versions_are_numbers_in_one_line() -> None:
    """`check` compares them as text."""
    script = ScriptDirectory(str(VERSIONS.parent))
    found = [each.revision for each in script.walk_revisions()]
    assert found == [f"{number:04}" for number in range(len(found), 0, -1)]
    assert upgrade.newest() == found[0]


def test_names_are_short_enough_for_every_database() -> None:
    names = [item.name for table in metadata.tables.values() for item in (table, *table.indexes, *table.constraints)]
    assert all(len(name) <= 63 for name in names if name)
