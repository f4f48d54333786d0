"""Commands that look after the installation: doctor, clean, models."""

from typing import Annotated

import typer

from vidgen.cli.base import CARE, Json, app, show
from vidgen.paths import Home

models_app = typer.Typer(help="Which models there are, and which are here.", no_args_is_help=True)
app.add_typer(models_app, name="models", rich_help_panel=CARE)
ModelName = Annotated[
    str, typer.Argument(help="A model's name, a set, or all.", metavar="NAME|SET")
]


@app.command(rich_help_panel=CARE)
def doctor(as_json: Json = False) -> None:
    """Look at this machine: what is there, what is missing, what to do."""
    from vidgen.doctor import examine, show_findings

    findings = list(examine(Home.default()))
    if as_json:
        show(findings)
    else:
        show_findings(findings)
    if any(finding.verdict == "problem" for finding in findings):
        raise typer.Exit(3)


@app.command(rich_help_panel=CARE)
def clean(
    everything: Annotated[
        bool, typer.Option("--all", help="Also what could still be resumed.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Remove what is old: work folders after a day, runs after a month."""
    from vidgen.config import keeping
    from vidgen.progress import cleaning
    from vidgen.tables import cleaned_lines

    hours, days = keeping("keep_work_hours"), keeping("keep_history_days")
    cleaned = cleaning.clean(Home.default(), days, hours, keep_resumable=not everything)
    if as_json:
        show(cleaned)
    else:
        typer.echo("\n".join(cleaned_lines(cleaned)))


@models_app.command("list")
def models_list(as_json: Json = False) -> None:
    """Every model: its stage, size, licence, and whether it is here."""
    from vidgen.catalog import Catalog
    from vidgen.tables import models_table

    rows = Catalog(Home.default()).listed()
    if as_json:
        show(rows)
    else:
        models_table(rows)


@models_app.command("pull")
def models_pull(what: ModelName = "embedded") -> None:
    """Fetch a model or a set, check it, put it in place."""
    from vidgen import fetch
    from vidgen.catalog import Catalog
    from vidgen.interrupts import orderly
    from vidgen.tables import downloads, pulled_lines

    with orderly(), downloads() as told:
        pulled = fetch.pull(Catalog(Home.default()), what, told)
    pulled_lines(pulled)


@models_app.command("verify")
def models_verify(what: ModelName = "all", as_json: Json = False) -> None:
    """Read every byte again and compare it with what it must be.

    Exits with 3 when one is wrong, or one that was named is missing.
    """
    from vidgen.catalog import Catalog
    from vidgen.tables import models_table

    rows = Catalog(Home.default()).listed(what, verify=True)
    if as_json:
        show(rows)
    else:
        models_table(rows)
    if any(row.state == "wrong" or (row.state == "missing" and what != "all") for row in rows):
        raise typer.Exit(3)


@models_app.command("path")
def models_path(name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """Where a model's verified file is."""
    from vidgen.catalog import Catalog, named

    typer.echo(Catalog(Home.default()).path(named(name)[0].name))


@models_app.command("rm")
def models_rm(name: Annotated[str, typer.Argument(metavar="NAME|SET")]) -> None:
    """Remove a model or a set from this machine."""
    from vidgen.catalog import Catalog
    from vidgen.tables import removed_lines

    removed_lines(Catalog(Home.default()).remove(name))
