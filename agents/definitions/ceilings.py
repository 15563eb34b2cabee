"""What the site allows definitions at most. An operator's word: whoever writes definitions cannot widen it.

A definition that asks for more is a mistake, named by its line and field as any other. One that says nothing gets the
default, or the ceiling where that is lower.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from agents.definitions.definition import Definition, DefinitionLimits


class TooWide(Exception):
    """`path`: of the field that asks for more than the site allows."""

    def __init__(self, path: tuple[str, ...], problem: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(f"{'.'.join(path)}: {problem}")


@dataclass(frozen=True, slots=True)
class Ceilings:
    """`limits` by the names of DefinitionLimits; `wall_s` has RUN_TIME_LIMIT_S. `runtimes` beside the engine's own;
    `root`: may a user be 0?"""

    limits: Mapping[str, float] = field(default_factory=dict)
    runtimes: Collection[str] = ()
    root: bool = False

    def hold(self, definition: Definition) -> Definition:
        """The same, with no more than is allowed. Raises TooWide."""
        if definition.runtime is not None and definition.runtime not in self.runtimes:
            allowed = ", ".join(sorted(self.runtimes)) or "none but the engine's own"
            problem = f"this site does not allow {definition.runtime!r} (AGENTSITE_ALLOWED_RUNTIMES: {allowed})"
            raise TooWide(("runtime",), problem)
        if definition.user is not None and 0 in map(int, definition.user.split(":")) and not self.root:
            raise TooWide(("user",), "this site does not allow root (AGENTSITE_ALLOW_ROOT)")
        lowered = self._lowered(definition.limits)
        if not lowered:
            return definition
        return definition.model_copy(update={"limits": definition.limits.model_copy(update=lowered)})

    def _lowered(self, limits: DefinitionLimits) -> dict[str, Any]:
        over = {name: most for name, most in self.limits.items() if getattr(limits, name) > most}
        for name, most in over.items():
            if name in limits.model_fields_set:
                raise TooWide(("limits", name), f"this site allows {most:g} at most (AGENTSITE_MAX_{name.upper()})")
        return {name: type(getattr(limits, name))(most) for name, most in over.items()}
