"""Output of commands in the formats of `openstack`: `-f table|json|yaml|csv|value`, and `-c COLUMN`."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from typing import Any

import click

FORMS = ("table", "json", "yaml", "csv", "value")
_COLUMNS = "osfaas.columns"
Rows = Sequence[Sequence[Any]]


def output_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds `-f` as the parameter `form`, and `-c`, which `render` finds by itself."""

    def keep(context: click.Context, _parameter: click.Parameter, chosen: tuple[str, ...]) -> None:
        context.meta[_COLUMNS] = tuple(name.lower() for name in chosen)

    column = click.option(
        "-c", "--column", multiple=True, expose_value=False, callback=keep, help="Column or field. May be repeated."
    )
    form = click.option(
        "-f",
        "--format",
        "form",
        type=click.Choice(FORMS),
        default=FORMS[0],
        show_default=True,
        help="Output format.",
    )
    return form(column(command))


def render(form: str, documents: Sequence[dict[str, Any]], rows: Rows) -> str:
    """A list: what a command prints.

    Args:
        form: one of `FORMS`.
        documents: the objects, for JSON and YAML.
        rows: the head of the columns, then the cells of each object, for the other formats.

    Raises:
        click.UsageError: a chosen column is not there.
    """
    chosen = _chosen()
    if form in {"json", "yaml"}:
        return _structure(form, [_fields(each, chosen) for each in documents])
    if chosen:
        head = [str(name).lower() for name in rows[0]]
        _check(chosen, head)
        rows = [[row[head.index(name)] for name in chosen] for row in rows]
    if form == "csv":
        return _csv(rows)
    return "\n".join(" ".join(map(str, row)) for row in rows[1:]) if form == "value" else aligned(rows)


def render_one(form: str, document: dict[str, Any], rows: Rows) -> str:
    """One object; see `render`. `rows` are its fields: name and value."""
    chosen = _chosen()
    if form in {"json", "yaml"}:
        return _structure(form, _fields(document, chosen))
    if chosen:
        _check(chosen, [row[0] for row in rows])
        rows = [row for row in rows if row[0].lower() in chosen]
    if form == "csv":
        return _csv([("field", "value"), *rows])
    return "\n".join(str(value) for _, value in rows) if form == "value" else aligned(rows)


def _chosen() -> tuple[str, ...]:
    context = click.get_current_context(silent=True)
    found: tuple[str, ...] = context.meta.get(_COLUMNS, ()) if context else ()
    return found


def _structure(form: str, found: Any) -> str:
    if form == "json":
        return json.dumps(found, indent=2, ensure_ascii=False)
    import yaml  # noqa: PLC0415 - slow to import

    written: str = yaml.safe_dump(found, sort_keys=False, allow_unicode=True)
    return written.rstrip("\n")


def aligned(rows: Rows) -> str:
    """Aligned columns."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths)) for row in cells)
    return "\n".join(line.rstrip() for line in lines)


def _fields(document: dict[str, Any], chosen: tuple[str, ...]) -> dict[str, Any]:
    if not chosen:
        return document
    _check(chosen, document)
    return {name: value for name, value in document.items() if name.lower() in chosen}


def _check(chosen: tuple[str, ...], known: Any) -> None:
    names = {str(name).lower() for name in known}
    missing = [name for name in chosen if name not in names]
    if missing:
        raise click.UsageError(f"There is no column {missing[0]!r}. There are: {', '.join(sorted(names))}.")


def _csv(rows: Rows) -> str:
    import csv  # noqa: PLC0415

    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().rstrip("\n")
