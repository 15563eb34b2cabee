from __future__ import annotations

from django.conf import settings
from django.db import models


class ApiToken(models.Model):
    """A bearer token. Only its SHA-256 is stored: tokens are 256 random bits, so a fast hash gives nothing away."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=100)
    sha256 = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True, help_text="Empty: never. UTC.")

    def __str__(self) -> str:
        return f"{self.name} ({self.user})"


class StreamTicket(models.Model):
    """Opens the stream of one agent to pages of one origin, in an address, where no header can be sent. As with tokens,
    only the hash is stored. It ends with the token or the login session that it was made with."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    agent = models.ForeignKey("agents.Agent", on_delete=models.CASCADE, related_name="+")
    token = models.ForeignKey(ApiToken, on_delete=models.CASCADE, null=True, related_name="+")
    session_key = models.CharField(max_length=40, blank=True, default="")
    sha256 = models.CharField(max_length=64, unique=True)
    origin = models.CharField(max_length=300, blank=True, default="", help_text="Empty: the site's own.")
    connect_by = models.DateTimeField(help_text="When it has to have been used for the first time.")
    used_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"stream ticket of {self.user}"


class LoginLink(models.Model):
    """A link that logs its user in once. As with tokens, only the hash is stored."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="login_links")
    sha256 = models.CharField(max_length=64, unique=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"login link of {self.user}"
