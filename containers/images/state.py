"""What the engine has of an image, and whether it is what it should be."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from aiodocker.exceptions import DockerError

from containers.docker_api import DockerApi
from containers.images.build import CONTENT_LABEL, find_by_tag

State = Literal["present", "missing", "stale"]
_SECONDS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")


@dataclass(frozen=True, slots=True)
class Found:
    """`stale`: it is built from a folder of ours, which has changed since. `size_bytes` counts shared layers too."""

    reference: str
    state: State
    size_bytes: int | None = None
    created_at: datetime | None = None


async def look(api: DockerApi, reference: str) -> Found:
    """Raises EngineUnavailable, DockerError."""
    try:
        image = await api.image(reference)
    except DockerError as error:
        if error.status == 404:
            return Found(reference, "missing")
        raise
    ours = find_by_tag(reference)
    labels = image["Config"].get("Labels") or {}
    stale = ours is not None and labels.get(CONTENT_LABEL) != ours.digest()
    return Found(reference, "stale" if stale else "present", image.get("Size"), _moment(image.get("Created")))


def _moment(text: Any) -> datetime | None:
    """The engine says it in UTC, with as many digits behind the seconds as it likes."""
    found = _SECONDS.match(text) if isinstance(text, str) else None
    return datetime.fromisoformat(found[0]).replace(tzinfo=UTC) if found else None
