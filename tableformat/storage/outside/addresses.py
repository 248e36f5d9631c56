"""Which network addresses a reference may lead to: public ones. Names are looked up once, and what was checked is dialled."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence
from typing import Final

from tableformat.errors import AccessRefusedError, StoreUnavailableError, message

__all__ = ["Dial", "Resolve", "checked_addresses", "dial", "is_public", "resolve"]

Resolve = Callable[[str, int], Sequence[str]]
"""From a host and a port to its addresses, as text."""
Dial = Callable[[str, int, float], socket.socket]
"""Connects to an address and port, with seconds to wait."""

_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_GLOBAL_UNICAST: Final = ipaddress.ip_network("2000::/3")
"""All of IPv6 that is given out to the public internet."""
_SPECIAL: Final = tuple(
    map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "2001:db8::/32", "3fff::/20"))
)
# Special purposes by IANA's registries that some releases of Python count as global, among them a cloud's metadata service.


def is_public(address: str) -> bool:
    """Whether `address` is one of the public internet: not loopback, link-local, private, reserved, multicast or unspecified,
    nor an address of IPv6 that wraps such a one of IPv4. What cannot be read is not public."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip in _NAT64 or ip.ipv4_mapped is not None:  # nothing but an address of IPv4, by another name
            return _is_public(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
        if ip not in _GLOBAL_UNICAST:
            return False
        if any(inner is not None and not _is_public(inner) for inner in (ip.sixtofour, *(ip.teredo or ()))):
            return False
    return _is_public(ip)


def _is_public(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return (
        ip.is_global
        and not any(ip.version == one.version and ip in one for one in _SPECIAL)
        and not (
            ip.is_multicast
            or ip.is_private
            or ip.is_loopback
            or ip.is_link_local
            or ip.is_reserved
            or ip.is_unspecified
        )
    )


def resolve(host: str, port: int) -> list[str]:
    """The addresses of `host` as the operating system knows them, in its order."""
    return list(dict.fromkeys(str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))


def dial(address: str, port: int, timeout: float) -> socket.socket:
    """A connection to an address."""
    return socket.create_connection((address, port), timeout)


def checked_addresses(host: str, port: int, url: str, doing: str, lookup: Resolve = resolve) -> list[str]:
    """The addresses of `host`, all of them public; raises `AccessRefusedError` if one is not, `StoreUnavailableError` if
    there are none. The caller connects to these and looks nothing up again."""
    try:
        found = list(lookup(host, port))
    except (OSError, UnicodeError) as error:
        raise StoreUnavailableError(
            message(doing, path=url, expected=f"the addresses of {host}", got=str(error)[:200])
        ) from error
    inner = [address for address in found if not is_public(address)]
    if inner:
        raise AccessRefusedError(
            message(doing, path=url, expected="a host of the public internet", got=f"{host}, which is {inner[0]}",
                    todo="nothing allows it: a store must not make its readers call inside their own network; own the bytes instead")
        )  # fmt: skip
    if not found:
        raise StoreUnavailableError(message(doing, path=url, expected=f"the addresses of {host}", got="none"))
    return found
