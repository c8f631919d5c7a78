"""Headless Chromium on the pages of Airflow and MLflow, as a person uses them; it asks nothing outside this machine."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page, ViewportSize, expect, sync_playwright

from stillhouse.tasks.local_stack.stack_record import Addresses

NAMES = ("chromium", "chromium-browser", "google-chrome")
OFFLINE = ["--no-proxy-server", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
"""Chromium's own rule: a handler in Python would hold the page's requests back while the test waits for something."""
PATIENCE_MS = 30_000
WINDOW = ViewportSize(width=1400, height=1300)


class Pages:
    """One tab, and the screenshots made of it."""

    def __init__(self, page: Page, addresses: Addresses, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._page, self._addresses, self._folder = page, addresses, folder
        self._shots = 0

    def log_in(self) -> None:
        """Enter Airflow with the name and the password that `make run` shows."""
        self._page.goto(self._addresses.airflow)
        self._page.get_by_label("Username").fill(self._addresses.user)
        self._page.get_by_label("Password").fill(self._addresses.password)
        self._page.get_by_role("button", name=re.compile("sign in", re.IGNORECASE)).click()
        expect(self._page.get_by_role("link", name="Dags", exact=True)).to_be_visible()

    def open_card(self, subject: str) -> None:
        """Go from the list of required actions to a question."""
        self._page.goto(f"{self._addresses.airflow}/required_actions")
        self._page.get_by_role("link", name=subject).first.click()

    def open_model(self, name: str) -> None:
        """Open a registered model in MLflow."""
        self._page.goto("about:blank")  # an address that differs after its # alone would not be loaded anew
        self._page.goto(f"{self._addresses.mlflow}/#/models/{name}?workflowType=machine_learning")

    def follow(self, link: str) -> None:
        """Go where a link leads."""
        address = self._page.get_by_role("link", name=link, exact=True).get_attribute("href")
        assert address is not None
        self._page.goto(address)

    def fill_trigger(self, dag_id: str, *, why: str) -> None:
        """Open the form that triggers a DAG, and fill it in."""
        self._page.goto(f"{self._addresses.airflow}/dags/{dag_id}")
        self._page.get_by_role("button", name="Trigger").first.click()
        self._page.locator("#element_why").fill(why)
        expect(self._page.get_by_test_id("trigger-dag-submit")).to_be_enabled()

    def submit_trigger(self) -> None:
        """Send the form."""
        self._page.get_by_test_id("trigger-dag-submit").click()

    def click(self, button: str) -> None:
        """Press a button."""
        self._page.get_by_role("button", name=button, exact=True).click()

    def expect_heading(self, text: str) -> None:
        """Wait for a heading."""
        expect(self._page.get_by_role("heading", name=text)).to_be_visible()

    def expect_row(self, text: str) -> None:
        """Wait for a row of a table whose cells hold these words."""
        expect(self._page.get_by_role("row", name=text).first).to_be_visible()

    def expect_text(self, text: str) -> None:
        """Wait for a text anywhere."""
        expect(self._page.get_by_text(text).first).to_be_visible()

    def expect_in_frame(self, text: str) -> None:
        """Wait for a text of the page that this page shows."""
        expect(self._page.frame_locator("iframe").get_by_text(text).first).to_be_visible()

    def expect_alias(self, version: str, alias: str) -> None:
        """Wait for an alias beside a version of the model that is shown."""
        row = self._page.get_by_role("row").filter(has=self._page.get_by_role("link", name=f"Version {version}"))
        expect(row.get_by_role("status", name=alias, exact=True)).to_be_visible()

    def keep_seconds(self, what: str, seconds: float) -> None:
        """Keep how long something took, beside the screenshots."""
        with (self._folder / "seconds.txt").open("a", encoding="utf-8") as stream:
            stream.write(f"{seconds:5.1f}  {what}\n")

    def shoot(self, name: str) -> None:
        """Keep what is seen."""
        self._shots += 1
        self._page.screenshot(path=self._folder / f"{self._shots}_{name}.png")


@contextmanager
def open_browser(addresses: Addresses, folder: Path) -> Iterator[Pages]:
    """Start the machine's own Chromium, logged in to Airflow; skips the test where there is none."""
    chromium = next(filter(None, map(shutil.which, NAMES)), None)
    if chromium is None:
        pytest.skip("there is no Chromium here; install one (Debian: `apt-get install chromium`) and run this again")
    options = [*OFFLINE, "--no-sandbox"] if os.geteuid() == 0 else OFFLINE
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=options)
        page = browser.new_page(viewport=WINDOW)
        page.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        pages = Pages(page, addresses, folder)
        pages.log_in()
        yield pages
        browser.close()
