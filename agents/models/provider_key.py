from __future__ import annotations

from django.conf import settings
from django.db import models

PROVIDER_CHOICES = [("openai", "OpenAI"), ("anthropic", "Anthropic"), ("gemini", "Gemini")]


class ProviderKey(models.Model):
    """A provider's key, entered in the admin. Encrypted with a key made from AGENTSITE_SECRET_KEY, which is not in the
    database; agents.gateway.providers.keys has the only code that reads it."""

    provider = models.CharField(max_length=20, unique=True, choices=PROVIDER_CHOICES)
    ciphertext = models.TextField(editable=False)
    updated_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, editable=False, related_name="+"
    )
    updated_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"key of {self.get_provider_display()}"
