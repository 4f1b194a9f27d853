"""The site of the documents builds without a warning, shows every document, and quotes errors that the code has."""

import re
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def test_every_document_is_in_the_navigation() -> None:
    listed = re.findall(r": ([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(page.name for page in DOCS.glob("*.md"))


def test_the_site_builds_and_has_the_signatures(tmp_path: Path) -> None:
    assert yaml.safe_load((ROOT / "mkdocs.yml").read_text())["site_name"] == "skipsearch"
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "site" / "python" / "index.html").read_text()
    for name in ("load_run", "export_plan", "plot_front", "apply_plan", "digest"):
        assert name in page
    assert "fonts.googleapis" not in page, "the site loads nothing from elsewhere"


def test_the_errors_of_the_page_are_errors_of_the_code() -> None:
    rows = re.findall(r"^\| `([^`]+)` \|", (DOCS / "errors.md").read_text(), re.MULTILINE)
    sources = [file for name in ("search", "workers", "spaces", "objectives") for file in (ROOT / name).rglob("*.py")]
    code = re.sub(r'"\s*f?"', "", " ".join(file.read_text(encoding="utf-8") for file in sources))
    assert len(rows) > 8
    assert not [row for row in rows if row not in code]
