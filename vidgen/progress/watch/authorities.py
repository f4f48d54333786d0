"""Whom a watching client trusts by https. What it says to them is `client`'s."""

import ssl
from functools import cache
from pathlib import Path

import httpx

from vidgen.errors import InputError


@cache
def trusted(certificate: Path | None) -> ssl.SSLContext:
    """The usual authorities, and the certificate in this PEM file beside them.

    Once a process: reading all the authorities takes 35 ms, and a client reconnects often. Raises
    InputError for a file that holds no certificate.
    """
    if certificate is None:
        return httpx.create_ssl_context()
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(certificate)
    except OSError as error:  # ssl.SSLError is one
        raise InputError(
            "{path} cannot be used as a certificate: {reason}.",
            hint="--ca wants a PEM file.",
            code="page.watch_certificate",
            path=str(certificate),
            reason=error.strerror or str(error),
        ) from error
    return context
