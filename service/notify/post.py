"""One POST to a receiver, and to nobody else: no redirect is followed, and an address of a private
network is only spoken to where that was said.
"""

import http.client
import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from urllib.parse import quote, unquote, urlsplit

import msgspec

from service.clock import now
from service.notify.messages import Message
from service.outgoing import Request, answer_of

SECONDS = 10.0  # for a request, from looking up the name to the answer's end
MOST_READ = 1000  # bytes of an answer that refuses
LONGEST_WAIT = 3600.0
COMPATIBLE = ipaddress.ip_network("::/96")  # IPv4 addresses, as nobody writes them any more
TRANSLATED = ipaddress.ip_network("64:ff9b::/96")  # IPv4 addresses, as NAT64 has them
# Where older Pythons know parts of them alone: of protocols, and NAT64 within a network.
NEVER_PUBLIC = tuple(map(ipaddress.ip_network, ("192.0.0.0/24", "64:ff9b:1::/48")))
BUSY = {408, 425, 429}


class RefusedError(Exception):
    """The receiver, or the guard, says no: it will say so again."""


class AwayError(Exception):
    """It may be taken later; `seconds` is what the receiver asked to wait, if it did."""

    def __init__(self, detail: str, seconds: float | None = None) -> None:
        super().__init__(detail)
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where to: `url`, whether its address may be private, how it shows who it is, and the key that
    it knows us by, if any."""

    url: str = field(repr=False)
    private: bool
    tls: ssl.SSLContext
    secret: str | None = field(default=None, repr=False)

    def check(self, addresses: Sequence[str]) -> None:
        """RefusedError where it has an address that is not to be spoken to."""
        hidden = [one for one in addresses if not _is_public(ipaddress.ip_address(one))]
        if hidden and not self.private:
            raise RefusedError(
                f"the name leads to {hidden[0]}, which is not on the internet: set `private: true` "
                "if it is meant"
            )


def post(receiver: Receiver, message: Message) -> None:
    """Send it; RefusedError or AwayError where it was not taken. No error repeats the address,
    which may be a secret, or the key."""
    parts = urlsplit(receiver.url)
    query = f"?{parts.query}" if parts.query else ""
    base = parts.path.rstrip("/") if message.path else parts.path
    path = (f"{base}{message.path}" or "/") + query
    headers = {"Content-Type": "application/json", "User-Agent": "wakeful", **message.headers}
    request = Request("POST", path, headers, message.body)
    try:
        with answer_of(receiver.url, receiver.tls, request, SECONDS, receiver.check) as answer:
            if 200 <= answer.status < 300:
                return
            said = answer.read(MOST_READ).decode("utf-8", "replace")
    except OSError as error:  # before ValueError: a certificate that is not trusted is both
        raise AwayError(f"no answer: {error}") from None
    except (ValueError, http.client.InvalidURL):
        raise RefusedError("it cannot be sent: the address or a header is not plain") from None
    except http.client.HTTPException as error:  # its text is the receiver's
        raise AwayError(f"no answer: {type(error).__name__}") from None
    said = _without(said, path, parts.path.rstrip("/"), parts.query, receiver.secret or "")
    told = f"it answered {answer.status}: {said[:200]}"
    if answer.status in BUSY or answer.status >= 500:
        raise AwayError(told, _asked(answer.getheader("Retry-After")))
    raise RefusedError(told)


def _without(said: str, *secrets: str) -> str:
    """A receiver may repeat what it was sent, in JSON or as an address has it; the longest first,
    as one may be part of another."""
    forms = {form for secret in secrets for form in _forms(secret) if len(form) > 1}
    for form in sorted(forms, key=len, reverse=True):
        said = said.replace(form, "…")
    return said


def _forms(secret: str) -> tuple[str, ...]:
    escaped = msgspec.json.encode(secret).decode()[1:-1]
    return secret, escaped, escaped.replace("/", "\\/"), quote(secret, safe=""), unquote(secret)


def _is_public(address: "ipaddress.IPv4Address | ipaddress.IPv6Address") -> bool:
    """Whether it is on the internet, and does not stand for one that is not."""
    if isinstance(address, ipaddress.IPv6Address):
        within = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if address in TRANSLATED:
            within = ipaddress.IPv4Address(address.packed[-4:])
        if within is not None:
            return _is_public(within)
        if address in COMPATIBLE or address.is_site_local:
            return False
    if any(address in network for network in NEVER_PUBLIC):
        return False
    return address.is_global and not address.is_multicast


def _asked(header: str | None) -> float | None:
    """The seconds that a Retry-After asks for."""
    if header is None:
        return None
    try:
        seconds = (
            float(header) if header.isdigit() else parsedate_to_datetime(header).timestamp() - now()
        )
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), LONGEST_WAIT)
