"""The options of commands beside those of a film: `vidgen batch`, `vidgen serve-progress`, views.

Made like those of a run (`settings`): one field is one flag.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vidgen.errors import InputError
from vidgen.settings import DEFAULT_HOST, DEFAULT_PORT, option

PUBLISH_HELP = "Tell a Redis or Valkey, too (extra `redis`)."
FILMS, WORKERS, SHOWN = "Which films", "How they are made", "How it is shown"
LONGEST_TOKEN: Final = 4096  # bytes of a token's file; a device has no end


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """What `vidgen batch` makes of its arguments, and how."""

    photo: Path | None = option(
        None, "One face for all voices that are named.", panel=FILMS, environment="none"
    )
    photos: Path | None = option(
        None,
        "A folder of photos: anna.jpg goes with anna.wav of --voices.",
        panel=FILMS,
        metavar="FOLDER",
        environment="none",
    )
    voices: Path | None = option(
        None, "The folder of voices.", panel=FILMS, metavar="FOLDER", environment="none"
    )
    output_dir: Path | None = option(
        None, "Where the films go.", panel=FILMS, metavar="FOLDER", environment="none"
    )
    name: str = option(
        "{photo}-{voice}",
        "How films are named that no line names; {line} is its number.",
        panel=FILMS,
        metavar="PATTERN",
        environment="none",
    )
    part: str = option(
        "", "Only the I-th of N parts, for array jobs.", panel=FILMS, metavar="I/N",
        environment="none",
    )  # fmt: skip
    dry_run: bool = option(
        False, "Check all, say what would be made, make nothing.", panel=FILMS, environment="none"
    )
    fail_fast: bool = option(
        False,
        "End all when one fails, or make the others all the same.",
        panel=WORKERS,
        flag="--fail-fast/--keep-going",
        environment="none",
    )
    retry: int = option(
        1,
        "Times to try again what may go better then.",
        panel=WORKERS,
        least=0,
        most=20,
        environment="none",
    )
    jobs: int = option(
        1,
        "Films at once on the processor, each with its share of the cores.",
        panel=WORKERS,
        least=1,
        most=256,
        environment="none",
    )
    devices: str = option(
        "",
        "A worker for each of these GPUs.",
        panel=WORKERS,
        metavar="cuda:0,cuda:1|all",
        environment="none",
    )
    ray: str = option(
        "",
        "On the machines of a Ray cluster (extra `ray`).",
        panel=WORKERS,
        metavar="auto|ADDRESS",
        environment="none",
    )
    gpus_per_film: float | None = option(
        None,
        "On Ray: 1, a part of one, or 0; else 1 where there are any.",
        panel=WORKERS,
        least=0,
        metavar="X",
        environment="none",
    )
    cpus_per_film: int = option(
        0,
        "On Ray: cores; 0 is a fair share of a machine.",
        panel=WORKERS,
        least=0,
        most=1024,
        environment="none",
    )


@dataclass(frozen=True, slots=True)
class TokenOptions:
    """What opens a server. A token on a command line is seen by everybody who lists processes."""

    token: str = option(
        "", "The server's token; in a file, no list of processes shows it.", metavar="TOKEN",
        environment="shown",
    )  # fmt: skip
    token_file: Path | None = option(None, "A file that holds the token.", environment="none")

    def given(self) -> str:
        """The file's token, else the other; "" for none. Raises InputError."""
        if self.token_file is None:
            return self.token
        try:
            with self.token_file.open("rb") as file:
                token = file.read(LONGEST_TOKEN).decode("ascii").strip()
        except OSError as error:
            raise InputError(
                "The token in {path} cannot be read: {reason}.",
                hint="Check the file's path and its permissions.",
                code="page.token_unreadable",
                path=str(self.token_file),
                reason=error.strerror or str(error),
            ) from error
        except ValueError as error:
            raise _no_token_in(self.token_file) from error
        if not token.isprintable() or not token:
            raise _no_token_in(self.token_file)
        return token


def _no_token_in(file: Path) -> InputError:
    return InputError(
        "There is no token in {path}.",
        hint="Write it into the file, alone: letters and digits, at least 16.",
        code="page.token_file",
        path=str(file),
    )


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How `vidgen serve-progress` serves, as it is typed; `serve.settings` says what it means."""

    host: str = option(DEFAULT_HOST, "Address to listen at.", metavar="HOST", environment="none")
    port: int = option(DEFAULT_PORT, "0 takes a free one.", least=0, most=65535, environment="none")
    accept_jobs: bool = option(False, "Take orders for runs, with the token.", environment="none")
    job_hours: float = option(
        6.0, "Longest time for one ordered run; 0: any.", least=0, environment="none"
    )
    allow_paid: bool = option(
        False, "Let orders choose a renderer that sends a bill (d-id).", environment="none"
    )
    max_watchers: int = option(2000, "Open streams in all; 0: any.", least=0, environment="none")
    per_ip: int = option(200, "Open streams an address; 0: any.", least=0, environment="none")
    per_second: float = option(
        100.0,
        "Requests of one address a second, on average; 0: any.",
        least=0,
        environment="none",
    )
    tls_cert: Path | None = option(None, "A PEM file; with both it is https.", environment="none")
    tls_key: Path | None = option(None, "A PEM file; with both it is https.", environment="none")
    allow_host: list[str] | None = option(
        None, "A further name to answer to; * is any.", metavar="NAME", environment="none"
    )
    trust_proxy: list[str] | None = option(
        None,
        "A proxy of yours, whose X-Forwarded-For is believed.",
        metavar="ADDRESS",
        environment="none",
    )
    allow_origin: list[str] | None = option(
        None, "Another web site that may read.", metavar="URL", environment="none"
    )
    sources: str = option(
        "",
        "Other servers, or a Redis, whose runs are served, too.",
        flag="--from",
        metavar="URL,URL…",
        environment="none",
    )
    from_token_file: Path | None = option(
        None, "Their tokens: a line is HOST TOKEN, or one token for all.", environment="none"
    )
    publish: str = option("", PUBLISH_HELP, metavar="redis://HOST")
    public_url: str = option(
        "", "Our address as clients write it, behind a proxy; else BASE_URL.", metavar="URL"
    )
    dialects: str = option(
        "all",
        "Other systems whose clients are answered: all, none, or 000,004 and so on.",
        metavar="WHICH",
        environment="none",
    )
    heartbeat: int = option(
        15,
        "Seconds between two signs of life on a stream.",
        least=1,
        most=300,
        environment="none",
    )
    log_level: str = option(
        "warning",
        "What the server says of itself on stderr; debug: every request, watcher and event.",
        choices=("warning", "debug"),
        environment="none",
    )


@dataclass(frozen=True, slots=True)
class ViewOptions:
    """How a run is shown to whoever started it; the film does not depend on it."""

    progress: str = option(
        "auto",
        "A live view, plain lines, bare events, or nothing; auto takes what fits.",
        panel=SHOWN,
        choices=("auto", "tty", "plain", "rawjson", "quiet"),
    )
    preview: str = option(
        "auto",
        "Pictures in the terminal, links to them, or neither.",
        panel=SHOWN,
        choices=("auto", "inline", "link", "off"),
    )
    serve: str | None = option(
        None,
        f"Let others watch meanwhile: a web page and more, at http://{DEFAULT_HOST}:{DEFAULT_PORT}.",
        panel=SHOWN,
        metavar="[HOST:PORT]",
    )
    publish: str = option("", PUBLISH_HELP, panel=SHOWN, metavar="redis://HOST")
    notify: bool = option(False, "Ring or notify at the end.", panel=SHOWN)
    json: bool = option(False, "Print the result as one JSON object on stdout.", panel=SHOWN)
