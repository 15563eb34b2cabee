"""What people fill in. Whether it is allowed is for agents.runs.commands to say; here it is said beside the field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator

from agents.definitions.budget import COUNT_MOST, RunBudget
from agents.gateway.providers import access

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agents.definitions import Definition

TITLE_LENGTH = 200
MODEL_LENGTH = 200
LEAST = {"cost_usd": 0.0001, "tokens": 1, "minutes": 0.01}
"""Less is nothing: no run could be begun with it."""


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


class OptionsForm(forms.Form):
    """What may be chosen of one definition. Each definition has its own in the page, under its name as a prefix, so
    that it needs no script. What a definition does not let anybody choose is not in it."""

    model = forms.CharField(required=False, max_length=MODEL_LENGTH)
    tools = forms.MultipleChoiceField(required=False, widget=forms.CheckboxSelectMultiple)
    cost_usd = forms.FloatField(required=False, label="Dollars")
    tokens = forms.IntegerField(required=False, label="Tokens")
    minutes = forms.FloatField(required=False, label="Minutes")

    def __init__(self, definition: Definition, data: Any = None, initial: dict[str, Any] | None = None) -> None:
        super().__init__(data, prefix=definition.name, initial=initial)
        self.definition = definition
        self.providers = sorted(access.allowed(definition))
        if not self.providers:
            del self.fields["model"], self.fields["cost_usd"], self.fields["tokens"]
        self._offer_tools(definition.tools)
        for name, most in ceilings(definition).items():
            if name in self.fields:
                self.fields[name].validators += [MinValueValidator(LEAST[name]), MaxValueValidator(most)]

    def _offer_tools(self, tools: list[str]) -> None:
        field = self.fields["tools"]
        assert isinstance(field, forms.MultipleChoiceField)
        field.choices = [(name, name) for name in tools]
        field.initial = tools
        if not tools:
            del self.fields["tools"]

    def clean_tools(self) -> list[str]:
        chosen: list[str] = self.cleaned_data["tools"]
        if not chosen:
            raise ValidationError("Choose at least one tool.")
        return chosen

    def chosen(self) -> dict[str, Any]:
        """As lifecycle.create_agent takes it: None for what is as the definition says."""
        data = self.cleaned_data
        model, tools = data.get("model") or None, data.get("tools")
        minutes = data.get("minutes")
        limits = {"cost_usd": data.get("cost_usd"), "tokens": data.get("tokens"), "wall_s": minutes and minutes * 60}
        return {
            "model": None if model == self.definition.model else model,
            "tools": None if tools is None or len(tools) == len(self.definition.tools) else tools,
            "budget": RunBudget(**limits),
        }


def ceilings(definition: Definition) -> dict[str, float]:
    """Most that a run may be given, by the form's fields; without a bound COUNT_MOST."""
    budget = definition.budget
    wall_s = min(filter(None, (budget.wall_s, definition.limits.wall_s, settings.RUN_TIME_LIMIT_S)))
    return {
        "cost_usd": budget.cost_usd or COUNT_MOST,
        "tokens": budget.tokens or COUNT_MOST,
        "minutes": wall_s / 60,
    }
