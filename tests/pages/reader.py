"""What a page says: its HTML, and what a reader sees of it."""

from __future__ import annotations

import re
from html import unescape

from django.test import Client


def html_of(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200
    return response.content.decode()


def text_of(client: Client, path: str) -> str:
    """What a reader sees, with single spaces."""
    html = html_of(client, path)
    main = html.partition("<main")[2] or html
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", main)).split())
