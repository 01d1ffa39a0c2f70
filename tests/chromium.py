"""A headless Chromium of the system for tests of pages."""

import contextlib
import shutil

import pytest


@contextlib.contextmanager
def browser_page(**context):
    """A page of a new browser; what goes wrong in its scripts fails the test. Skips where there is no Chromium."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright (the extra dev)")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium is installed (apt-get install chromium)")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        try:
            page = browser.new_page(**context)
            page.set_default_timeout(20000)
            errors: list[str] = []
            page.on("pageerror", lambda error: errors.append(str(error)))
            yield page
            assert errors == []
        finally:
            browser.close()
