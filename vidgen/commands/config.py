"""`vidgen config`: the user's own defaults, shown and changed."""

from typing import Annotated

import typer

from vidgen import config, console
from vidgen.commands.usage import Commands


def complete_names(incomplete: str) -> list[str]:
    return [name for name in config.defaults() if name.startswith(incomplete)]


Name = Annotated[
    str,
    typer.Argument(help="An option of run, with _ for -.", metavar="NAME",
                   autocompletion=complete_names),
]  # fmt: skip
config_app = typer.Typer(
    help="Your own defaults for the options of every run.", cls=Commands, no_args_is_help=True
)


@config_app.command("get")
def get(name: Name = "") -> None:
    """Print what holds now, and where it comes from; or one value."""
    settings = config.in_force()
    if name and name not in settings:
        raise config.unknown_option(name, settings)
    if name:
        console.print_line(settings[name].value)
    else:
        console.print_settings(settings)


@config_app.command("set")
def set_(name: Name, value: Annotated[str, typer.Argument(metavar="VALUE")]) -> None:
    """Set a default in the settings file; its other lines stay as they are."""
    console.print_line(config.write_setting(name, value))


@config_app.command("path")
def path() -> None:
    """Where the settings file is, or would be."""
    from vidgen.paths import config_path

    console.print_line(config_path())


@config_app.command("edit")
def edit() -> None:
    """Open the settings file in your editor, and check it afterwards."""
    from vidgen.desktop import edit_file
    from vidgen.paths import config_path

    file = config_path()
    with config.write_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    edit_file(file)
    config.load_config()
