"""The documentation as a site: every page is in it, every link leads somewhere, and nothing comes from another host."""

import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
LOADING = {"stylesheet", "icon", "preload", "prefetch", "modulepreload", "preconnect", "dns-prefetch", "manifest"}
"""Relations of a `link` for which a browser asks for its address by itself."""
REMOTE = re.compile(r"(?:[a-z]+:)?//", re.IGNORECASE)
IN_STYLE = re.compile(r"(?:url\(\s*|@import\s+)[\"']?((?:https?:)?//[^\"')\s]+)", re.IGNORECASE)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `make docs` builds it."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


class Loaded(HTMLParser):
    """Collects the addresses that a browser asks for by itself when it shows a page."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.addresses += [given[name] for name in ("src", "srcset", "data", "poster") if name in given]
        if tag == "link" and LOADING & set(given.get("rel", "").split()):
            self.addresses.append(given.get("href", ""))


def loaded(page: str) -> list[str]:
    parser = Loaded()
    parser.feed(page)
    return parser.addresses + IN_STYLE.findall(page)


def pages_of(nav: object) -> Iterator[str]:
    """The files that a part of the navigation names."""
    if isinstance(nav, str):
        yield nav
    for each in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
        yield from pages_of(each)


def test_every_page_is_in_the_navigation_once() -> None:
    """The navigation names each page of docs/ once, and no other page."""
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    there = [path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")]
    assert sorted(pages_of(nav)) == sorted(there)


def test_each_page_is_built(site: Path) -> None:
    """A strict build ends well, and each page has a folder of its own."""
    names = [path.relative_to(ROOT / "docs").with_suffix("") for path in (ROOT / "docs").rglob("*.md")]
    folders = ["" if name.name == "index" else name.as_posix() for name in names]
    assert not [folder for folder in folders if not (site / folder / "index.html").is_file()]


def test_a_page_loads_nothing_from_another_host(site: Path) -> None:
    """No script, style, font or picture of a page or a style sheet comes from elsewhere."""
    pages = {path: loaded(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    assert len(pages) > 20
    assert all(len(addresses) >= 3 for addresses in pages.values())
    assert not {address for addresses in pages.values() for address in addresses if REMOTE.match(address)}
    styles = [path.read_text(encoding="utf-8") for path in site.rglob("*.css")]
    assert styles
    assert not [found for style in styles for found in IN_STYLE.findall(style)]


@pytest.mark.parametrize(
    "page",
    [
        '<script src="https://example.org/a.js"></script>',
        '<img src="//example.org/a.png">',
        '<link rel="stylesheet" href="https://example.org/a.css">',
        '<link rel="preconnect" href="https://example.org">',
        "<style>@import 'https://example.org/a.css'</style>",
        "<style>a {background: url(https://example.org/a.png)}</style>",
    ],
)
def test_a_remote_address_is_found(page: str) -> None:
    """The search for remote addresses finds each way in which a page can load one."""
    assert [address for address in loaded(page) if REMOTE.match(address)]


def test_a_link_loads_nothing() -> None:
    """An address that a reader may follow is not one that a page loads."""
    assert not loaded('<a href="https://example.org">there</a><link rel="next" href="https://example.org/next">')
