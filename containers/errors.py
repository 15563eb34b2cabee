"""What can go wrong with an engine.

EngineError                   the root; `retryable` says whether the same call may succeed later
├── EngineUnavailable         the engine does not answer (daemon down, socket missing)            retryable
│   └── EnginePermission      its socket is there, but this user may not use it
├── ImageMissing              the image is not on this machine and may not be pulled
├── PullFailed                its registry did not give it      retryable, unless it was refused
├── SpecRefused               the spec asks for what this engine or site does not allow
├── StartFailed               the engine could not start the program (bad command, mount, runtime)
└── ContainerGone             no container under that ref any more
"""

from __future__ import annotations


class EngineError(Exception):
    """Root of what engines raise. `code` is the kebab-case code an `error` event carries."""

    code = "engine-error"
    retryable = False


class EngineUnavailable(EngineError):
    code = "engine-unavailable"
    retryable = True


class EnginePermission(EngineUnavailable):
    code = "engine-permission"
    retryable = False


class ImageMissing(EngineError):
    code = "image-missing"

    def __init__(self, image: str, hint: str = "") -> None:
        self.image = image
        super().__init__(f"image {image!r} is not on this machine{': ' + hint if hint else ''}")


class PullFailed(EngineError):
    code = "image-pull-failed"

    def __init__(self, image: str, reason: str, *, retryable: bool) -> None:
        self.image = image
        self.retryable = retryable
        super().__init__(f"image {image!r} could not be pulled: {reason}")


class SpecRefused(EngineError):
    code = "spec-refused"


class StartFailed(EngineError):
    code = "start-failed"


class ContainerGone(EngineError):
    code = "container-gone"
