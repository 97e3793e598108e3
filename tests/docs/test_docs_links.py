"""Pages cannot rot: links resolve, tests they point to exist, and their samples are valid."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from dpp_core.documents.loading import check_object
from dpp_core.names import API_VERSION

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SKIPPED = {".venv", ".venv-demo", "out", ".git", "node_modules", ".dev"}


def pages() -> list[Path]:
    found = (path for path in ROOT.rglob("*.md") if not SKIPPED & set(path.parts))
    return sorted(path for path in found if ".pytest_cache" not in path.parts)


PAGES = pages()
each_page = pytest.mark.parametrize("page", PAGES, ids=[str(p.relative_to(ROOT)) for p in PAGES])


def links(page: Path) -> Iterator[tuple[str, str]]:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for label, target in LINK.findall(text):
        if not target.startswith(("http://", "https://", "mailto:")):
            yield label, target


def anchors(page: Path) -> set[str]:
    """Name the anchors of a page's headings, the way code hosts make them."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", LINK.sub(r"\1", title).lower()) for title in titles)
    return {title.strip().replace(" ", "-") for title in plain}


def test_there_are_pages_to_check() -> None:
    assert ROOT / "README.md" in PAGES
    assert sum(len(list(links(page))) for page in PAGES) > 50


@each_page
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for _, target in links(page):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            broken.append(target)

    assert broken == []


@each_page
def test_every_test_a_page_points_to_exists(page: Path) -> None:
    missing = []
    for label, target in links(page):
        file = page.parent / target.partition("#")[0]
        name = label.strip("`")
        if name.startswith("test_") and file.suffix == ".py" and name != file.name:
            text = file.read_text(encoding="utf-8") if file.exists() else ""
            if f"def {name}(" not in text:
                missing.append(f"{name} in {target}")

    assert missing == []


@each_page
def test_every_sample_in_a_page_is_a_valid_resource(page: Path) -> None:
    for language, text in FENCE.findall(page.read_text(encoding="utf-8")):
        if language == "yaml" and f"apiVersion: {API_VERSION}" in text:
            model, findings = check_object(yaml.safe_load(text))
            assert (model is not None, findings) == (True, ())
