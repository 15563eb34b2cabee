"""A data directory is compared with what the database knows of it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from agents.fleet.data_directory import MARKER_FILE, WrongDataDirectory, verify
from agents.fleet.hosts import read_or_make
from agents.models import DataDirectory

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def directory(settings: Any, tmp_path: Path) -> Path:
    settings.DATA_DIR = tmp_path / "data"
    return tmp_path / "data"


def test_the_first_process_marks_it_and_all_others_agree(directory: Path) -> None:
    verify()
    marker = (directory / MARKER_FILE).read_text()
    verify()
    assert (directory / MARKER_FILE).read_text() == marker


def test_an_empty_one_is_refused_and_stays_empty(settings: Any, tmp_path: Path) -> None:
    verify()
    settings.DATA_DIR = tmp_path / "new"
    (tmp_path / "new").mkdir()
    with pytest.raises(WrongDataDirectory, match=f"has no {MARKER_FILE}.* mount it here") as refused:
        verify()
    assert list((tmp_path / "new").iterdir()) == []
    # What the message says helps: files that were restored without the marker.
    marker = DataDirectory.objects.get().marker
    assert f"write {marker} into {tmp_path / 'new' / MARKER_FILE}" in str(refused.value)
    (tmp_path / "new" / MARKER_FILE).write_text(marker)
    verify()


def test_that_of_another_site_is_refused(directory: Path) -> None:
    verify()
    (directory / MARKER_FILE).write_text("of-another-site")
    with pytest.raises(WrongDataDirectory, match="says of-another-site"):
        verify()


def test_a_database_that_knows_none_takes_the_marker_that_is_there(directory: Path) -> None:
    """The database of a site was emptied, or comes from before there were markers."""
    verify()
    marker = (directory / MARKER_FILE).read_text().strip()
    DataDirectory.objects.all().delete()
    verify()
    assert DataDirectory.objects.get().marker == marker


def test_of_many_that_make_an_id_at_once_all_read_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        found = set(pool.map(lambda _: read_or_make(tmp_path / "made" / "id"), range(64)))
    assert len(found) == 1
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["id"]
