"""Pages of the admin, as an administrator gets them."""

from __future__ import annotations

from django.test import Client


def get(admin: Client, path: str) -> str:
    response = admin.get(f"/admin/{path}")
    assert response.status_code == 200, response.content[:300]
    return response.content.decode()
