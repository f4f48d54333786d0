"""`vidgen models`: which there are, fetched, verified, found, removed."""

from typing import Annotated

import typer

from vidgen import console
from vidgen.commands.usage import Commands
from vidgen.flags import Json, ModelName
from vidgen.paths import Home

models_app = typer.Typer(
    help="Which models there are, and which are here.", cls=Commands, no_args_is_help=True
)


@models_app.command("list")
def list_models(as_json: Json = False) -> None:
    """Every model: its stage, size, licence, and whether it is here."""
    from vidgen.models.catalog import Catalog

    show = console.print_json if as_json else console.print_models
    show(Catalog(Home.default()).inventory())


@models_app.command("pull")
def pull_models(what: ModelName = "embedded") -> None:
    """Fetch a model or a set, check it, put it in place."""
    from vidgen.models import pull
    from vidgen.models.catalog import Catalog
    from vidgen.signals import graceful_interrupts

    with graceful_interrupts(), console.download_bars() as on_progress:
        pulled = pull.pull(Catalog(Home.default()), what, on_progress)
    console.print_pull(pulled)


@models_app.command("verify")
def verify_models(what: ModelName = "all", as_json: Json = False) -> None:
    """Read every byte again and compare it with what it must be.

    Exits with 3 when one is wrong, or one that was named is missing.
    """
    from vidgen.models.catalog import Catalog

    rows = Catalog(Home.default()).inventory(what, verify=True)
    (console.print_json if as_json else console.print_models)(rows)
    if any(row.state == "wrong" or (row.state == "missing" and what != "all") for row in rows):
        raise typer.Exit(3)


@models_app.command("path")
def locate_model(name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """Where a model's verified file is."""
    from vidgen.models.catalog import Catalog, find_models

    console.print_line(Catalog(Home.default()).path(find_models(name)[0].name))


@models_app.command("rm")
def remove_models(name: Annotated[str, typer.Argument(metavar="NAME|SET")]) -> None:
    """Remove a model or a set from this machine."""
    from vidgen.models.catalog import Catalog

    console.print_removal(Catalog(Home.default()).remove(name))
