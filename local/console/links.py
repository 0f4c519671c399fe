"""The links that the page's clients connect through, each with the fault that a person gives it."""

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from local import links
from local.links import Link
from ringback.errors import InvalidMessage, RingbackError

MAX_LINKS = 50

_SLOW_BYTES_PER_SECOND = 2_000
_SLOW_SECONDS = 1.0
_FAULTS: Mapping[str, Callable[[Link], None]] = {
    "none": Link.heal,
    "cut": Link.cut,
    "halfOpen": Link.go_half_open,
    "throttled": lambda link: link.throttle(_SLOW_BYTES_PER_SECOND, _SLOW_SECONDS),
    "down": Link.go_down,
}


class NoSuchLink(RingbackError):
    """There is no such link, or not any more."""


class Links:
    """All links of the console. They belong to its event loop."""

    def __init__(self, websocket_url: str) -> None:
        self._websocket_url = websocket_url
        self._links: dict[str, Link] = {}

    async def open(self) -> dict[str, str]:
        """One more, without a fault: its id and the WebSocket URL through it."""
        if len(self._links) >= MAX_LINKS:
            await self.close(next(iter(self._links)))  # pages that went have left theirs
        link, link_id = await Link.open(*links.target(self._websocket_url)), str(uuid.uuid4())
        self._links[link_id] = link
        return {"id": link_id, "url": links.websocket_url(link, self._websocket_url)}

    def set_fault(self, link_id: str, fault: Any) -> None:
        """Give a link a fault, or none.

        Raises:
            NoSuchLink, InvalidMessage
        """
        link = self._find(link_id)
        if not isinstance(fault, str) or fault not in _FAULTS:
            raise InvalidMessage(f"fault: give one of {', '.join(_FAULTS)}")
        _FAULTS[fault](link)

    async def close(self, link_id: str) -> None:
        """Drop what it carries, and have it no more.

        Raises:
            NoSuchLink
        """
        link = self._find(link_id)
        del self._links[link_id]
        await link.close()

    async def close_all(self) -> None:
        """At the end."""
        for link_id in list(self._links):
            await self.close(link_id)

    def _find(self, link_id: str) -> Link:
        try:
            return self._links[link_id]
        except KeyError:
            raise NoSuchLink(f"there is no link {link_id}: open another") from None
