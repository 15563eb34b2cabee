from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agents.definitions import Definition

TITLE_LENGTH = 200


def _not_too_long(prompt: str) -> None:
    limit: int = settings.INPUT_MAX_BYTES
    if len(prompt.encode()) > limit:
        raise ValidationError(f"A prompt may have {limit:,} bytes. Upload longer text as a file.", code="too-long")


class PromptField(forms.CharField):
    """Text for an agent: kept as it was typed, but for the line ends that a browser's form changes to CRLF."""

    widget = forms.Textarea

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(strip=False, validators=[_not_too_long], **kwargs)

    def to_python(self, value: Any) -> str:
        text = str(super().to_python(value) or "").replace("\r\n", "\n")
        return text if text.strip() else ""


class PromptForm(forms.Form):
    input = PromptField(error_messages={"required": "Write something first."})


class NewAgentForm(forms.Form):
    definition = forms.ChoiceField(widget=forms.RadioSelect)
    input = PromptField(required=False, label="Prompt")
    title = forms.CharField(required=False, max_length=TITLE_LENGTH)

    def __init__(self, definitions: Iterable[Definition], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["definition"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [(definition.name, definition.title) for definition in definitions]
