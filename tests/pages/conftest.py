"""A headless Chromium that opens pages, for the tests that need one."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as session:
        found = next(filter(None, map(shutil.which, CHROMIUM)), session.chromium.executable_path)
        if not Path(found).exists():
            pytest.skip("Chromium is not installed")
        chromium = session.chromium.launch(executable_path=found)
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Return a function that opens HTML; in the end, no page may have logged anything or asked for another address."""
    contexts: list[Any] = []
    seen: list[str] = []

    def open_it(html: str, width: int = 1200, color_scheme: str = "light") -> Any:
        path = tmp_path / f"{len(contexts)}.html"
        path.write_text(html, encoding="utf-8", newline="")
        contexts.append(browser.new_context(viewport={"width": width, "height": 800}, color_scheme=color_scheme))
        page = contexts[-1].new_page()
        page.set_default_timeout(5_000)
        page.on("console", lambda message: seen.append(message.text))
        page.on("pageerror", lambda error: seen.append(str(error)))
        page.on("request", lambda request: seen.append(request.url))
        page.goto(path.as_uri())
        assert seen.pop(0) == path.as_uri()
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert not seen
