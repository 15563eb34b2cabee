"""Which of a user's agents the list shows: searched, filtered, a page at a time.

Bounded however many there are: a page is found by place (keyset) and not by number, nothing is counted, and prompts are
looked through only of the agents that changed last. Without an index for text, which SQLite has not and PostgreSQL only
with an extension.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from django.db.models import Q, QuerySet

from agents.models import Agent, Run
from agents.models.run import AGENT_STATUSES
from agents.runs.id_prefix import id_range

PER_PAGE = 50
SEARCH_CHARS = 200
PROMPTS_OF = 1000
"""Of so many agents, those that changed last, prompts are looked through, too."""
_PLACE = re.compile(r"([0-9]{1,16})-([0-9a-f]{32})", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Place:
    """Between two agents of the list."""

    updated_at: datetime
    id: uuid.UUID

    @classmethod
    def parse(cls, text: str) -> Place | None:
        found = _PLACE.fullmatch(text)
        return cls(_EPOCH + timedelta(microseconds=int(found[1])), uuid.UUID(found[2])) if found else None

    @classmethod
    def of(cls, agent: Agent) -> Place:
        return cls(agent.updated_at, agent.id)

    def __str__(self) -> str:
        return f"{(self.updated_at - _EPOCH) // timedelta(microseconds=1)}-{self.id.hex}"


@dataclass(frozen=True, slots=True)
class Query:
    """What the address of the list says. What makes no sense in it is left out."""

    q: str = ""
    status: str = ""
    definition: str = ""
    archived: bool = False
    older_than: Place | None = None
    newer_than: Place | None = None

    @classmethod
    def read(cls, given: Mapping[str, str]) -> Query:
        status = given.get("status", "")
        return cls(
            q=_text(given.get("q", "")),
            status=status if status in AGENT_STATUSES else "",
            definition=_text(given.get("definition", "")),
            archived=given.get("archived") == "1",
            older_than=Place.parse(given.get("older_than", "")),
            newer_than=Place.parse(given.get("newer_than", "")),
        )

    @property
    def narrows(self) -> bool:
        return bool(self.q or self.status or self.definition)

    def filters(self) -> str:
        """As the part of an address behind the question mark, without the place."""
        given = {"q": self.q, "status": self.status, "definition": self.definition, "archived": self.archived and "1"}
        return urlencode({name: value for name, value in given.items() if value})

    def address(self) -> str:
        """The same with the place."""
        places = {"older_than": self.older_than, "newer_than": self.newer_than}
        there = urlencode({name: str(place) for name, place in places.items() if place})
        return "&".join(filter(None, (self.filters(), there)))


@dataclass(frozen=True, slots=True)
class Page:
    """Agents, those that changed last first. `older`, `newer`: the places to go on from, where there is more."""

    agents: list[Agent]
    older: Place | None
    newer: Place | None


def page(owner_id: int | None, query: Query) -> Page:
    found = matching(owner_id, query)
    if (place := query.newer_than) is not None:
        nearest = found.filter(_beyond("gt", place)).order_by("updated_at", "id")[: PER_PAGE + 1]
        agents, more_newer = _cut(list(nearest))
        agents.reverse()
        more_older = bool(agents)
    else:
        if (place := query.older_than) is not None:
            found = found.filter(_beyond("lt", place))
        agents, more_older = _cut(list(found.order_by("-updated_at", "-id")[: PER_PAGE + 1]))
        more_newer = place is not None
    return Page(
        agents,
        older=Place.of(agents[-1]) if agents and more_older else None,
        newer=Place.of(agents[0]) if agents and more_newer else None,
    )


def matching(owner_id: int | None, query: Query) -> QuerySet[Agent]:
    """Of this owner, whatever the query says."""
    own = Agent.objects.filter(owner=owner_id, archived_at__isnull=not query.archived)
    found = own
    if query.status:
        found = found.filter(status=query.status)
    if query.definition:
        found = found.filter(definition=query.definition)
    if query.q:
        found = found.filter(_says(query.q, own))
    return found


def _says(text: str, own: QuerySet[Agent]) -> Q:
    lately = own.order_by("-updated_at").values("pk")[:PROMPTS_OF]
    asked = Run.objects.filter(agent__in=lately, input__icontains=text).values("agent")
    said = Q(title__icontains=text) | Q(definition__icontains=text) | Q(pk__in=asked)
    ids = id_range(text)
    if ids is None:
        return said
    return said | Q(pk__range=ids) | Q(pk__iendswith=text)  # its last digits are in the name of one without a title


def _beyond(direction: str, place: Place) -> Q:
    """The first condition says nothing new; it is the one that an index can use."""
    return Q(**{f"updated_at__{direction}e": place.updated_at}) & (
        Q(**{f"updated_at__{direction}": place.updated_at}) | Q(**{f"id__{direction}": place.id})
    )


def _cut(agents: list[Agent]) -> tuple[list[Agent], bool]:
    """A page, and whether there is more."""
    return agents[:PER_PAGE], len(agents) > PER_PAGE


def _text(given: str) -> str:
    """PostgreSQL knows no U+0000."""
    return given.replace("\0", "").strip()[:SEARCH_CHARS]
