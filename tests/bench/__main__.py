"""The command: measures the rows that are asked for, prints the table, writes JSON and the chart."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import click

from tests.bench import growth, objects, processes, programs, small_requests
from tests.bench.chart import write_chart
from tests.bench.measure import Comparison
from tests.bench.probe import explain
from tests.bench.report import document, number, put_into, table, write_json
from tests.bench.stage import Effort, Stage, open_stage, tell

Row = Callable[[Stage, Effort], list[Comparison]]

ROWS: Mapping[str, Row] = {
    "P1": small_requests.invocation,
    "P2": small_requests.known_head,
    "P3": programs.authorisation,
    "P4": objects.slow_digest,
    "P5": objects.quick_digest,
    "P6": programs.five_digests,
    "P7": objects.stream,
    "P9": small_requests.many_tenants,
    "P10": programs.command_line,
    "P11": objects.small_objects,
    "G": growth.growth,
    "S": processes.processes,
}


@click.command()
@click.argument("rows", nargs=-1, type=click.Choice(list(ROWS)))
@click.option("--runs", default=5, show_default=True, help="Pairs of each comparison.")
@click.option("--requests", default=4_000, show_default=True, help="Small requests in a run.")
@click.option("--object-mib", default=4_096, show_default=True, help="Size of the large object.")
@click.option("--out", default=Path(".cache/bench/results.json"), type=click.Path(path_type=Path), show_default=True)
@click.option("--docs", type=click.Path(path_type=Path), help="Put table and chart into this document too.")
def main(rows: tuple[str, ...], out: Path, docs: Path | None, **effort_options: int) -> None:
    """Measure ROWS, by default all."""
    effort = Effort(**effort_options)
    comparisons: list[Comparison] = []
    missed: dict[tuple[str, str], list[str]] = {}
    with open_stage() as stage:
        for name in rows or ROWS:
            tell((ROWS[name].__doc__ or name).strip())
            found = ROWS[name](stage, effort)
            for each in found:
                tell(f"  {each.what}: {number(each.figure)} {each.unit}, ratio {each.ratio:.2f}")
                if each.met is False and each.probe is not None:
                    missed[each.row, each.what] = explain(each.probe)
            comparisons += found
    print(table(comparisons))
    for (row, what), lines in missed.items():
        print(f"\n{row} {what}: NOT MET", *lines, sep="\n  ")
    write_json(out, document(comparisons, effort=asdict(effort), missed=missed))
    write_chart(out.with_suffix(".svg"), comparisons)
    if docs is not None:
        put_into(docs, table(comparisons))
        write_chart(docs.with_suffix(".svg"), comparisons)
    tell(f"{out} and {out.with_suffix('.svg').name}")


if __name__ == "__main__":
    main()
