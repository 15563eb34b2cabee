"""Keys of providers: entered, replaced, deleted; never shown. The audit says who did it and when, not what."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest

from agents.gateway.providers import keys
from agents.gateway.providers.provider import PROVIDERS
from agents.models import ProviderKey

KEY_CHARS = 1000


class ProviderKeyForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic at run time
    """`key` goes in and never comes out: its widget renders no value, also not after a mistake elsewhere."""

    key = forms.CharField(
        max_length=KEY_CHARS,
        widget=forms.PasswordInput(render_value=False, attrs={"autocomplete": "off"}),
        help_text="Stored encrypted, and shown to nobody. The environment's key, where there is one, is used instead.",
    )

    class Meta:
        model = ProviderKey
        fields = ("provider",)

    def clean_key(self) -> str:
        key: str = self.cleaned_data["key"].strip()
        if not key.isascii() or not key.isprintable() or " " in key:
            raise forms.ValidationError("A key is printable ASCII without spaces.")
        return key


@admin.register(ProviderKey)
class ProviderKeyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not generic at run time
    form = ProviderKeyForm
    fields = ("provider", "key")
    list_display = ("provider", "usable", "updated_by", "updated_at")
    list_select_related = ("updated_by",)

    @admin.display(description="usable")
    def usable(self, row: ProviderKey) -> str:
        return keys.why_not(PROVIDERS[row.provider]) or "yes"

    def get_readonly_fields(self, request: HttpRequest, obj: ProviderKey | None = None) -> Any:
        return () if obj is None else ("provider",)

    def save_model(self, request: HttpRequest, obj: ProviderKey, form: Any, change: bool) -> None:
        obj.ciphertext = keys.encrypt(form.cleaned_data["key"])
        obj.updated_by = request.user if request.user.is_authenticated else None
        super().save_model(request, obj, form, change)
