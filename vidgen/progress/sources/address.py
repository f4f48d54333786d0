"""Where other runs come from, as it is typed: addresses, and a file with their tokens."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from vidgen.errors import InputError
from vidgen.progress.sources import redis_keys

SCHEMES = ("http", "https", *redis_keys.SCHEMES)


@dataclass(frozen=True, slots=True)
class SourceAddress:
    """One source. `host` is what people call it: its name, and its port."""

    url: str
    host: str
    token: str = ""


def parse_sources(text: str, token_file: Path | None = None) -> tuple[SourceAddress, ...]:
    """`URL,URL…`. Raises InputError for what is no address, or when one stands there twice.

    A line of the file is `HOST TOKEN` or `URL TOKEN`, or a token alone, for all the others.
    """
    tokens = _tokens(token_file) if token_file else {}
    found: dict[str, SourceAddress] = {}
    for word in filter(None, (word.strip() for word in text.split(","))):
        url = word if "://" in word else f"http://{word}"
        host = _host(url)
        if host in found:
            raise InputError(
                "--from names {host} twice.",
                hint="Name each source once.",
                code="sources.twice",
                host=host,
            )
        found[host] = SourceAddress(url.rstrip("/"), host, tokens.get(host, tokens.get("", "")))
    return tuple(found.values())


def _host(url: str) -> str:
    """The name and port in an address, without a password."""
    parts = urlsplit(url)
    try:
        is_named = bool(parts.hostname) or parts.scheme == "unix"
        is_good = parts.scheme in SCHEMES and is_named and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good:
        raise InputError(
            "{url} is no address of a source.",
            hint="It looks like http://host:55433 or redis://host:6379.",
            code="sources.address",
            url=url,
        )
    return redis_keys.host_of(url).lower()


def _tokens(file: Path) -> dict[str, str]:
    """host → token; "" is for all others."""
    try:
        lines = [line.split() for line in file.read_text("utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise InputError(
            "The tokens in {path} cannot be read: {reason}.",
            hint="A line of the file is HOST TOKEN, or a token alone for all hosts.",
            code="sources.token_file",
            path=str(file),
            reason=getattr(error, "strerror", "") or "it is no text",
        ) from error
    tokens = {}
    for words in lines:
        if words and not words[0].startswith("#"):
            url = words[0] if "://" in words[0] else f"http://{words[0]}"
            tokens[_host(url) if len(words) > 1 else ""] = words[-1]
    return tokens
