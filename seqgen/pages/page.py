"""Make a self-contained HTML page from a template and its data.

A page `NAME` is `templates/NAME.html` (what is in `<main>`), `NAME.css` and `NAME.js`. The `.html`, `.css` and `.js` of
`page` are the frame of all pages. A page may use parts, such as `chart`, whose `.css` and `.js` come before its own.
The data are JSON in `<script type="application/json" id="data">`. A page loads nothing: its content security policy
allows only its own style and script, by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from importlib import resources
from string import Template
from typing import Any

from seqgen.errors import SaveError
from seqgen.utils.text import without_surrogates

LARGEST_DATA = 2_000_000
"""Bytes of JSON in a page: what a browser on a phone still opens at once."""


def make_page(name: str, title: str, data: Any, parts: Sequence[str] = ()) -> str:
    """Return the HTML of the page `name`.

    Args:
        name: the name of the page's files in `templates/`.
        title: the heading, plain text.
        data: what the page's script reads, of types that JSON has. Floats must be finite.
        parts: names of further files in `templates/`, whose style and script the page uses.

    Raises:
        SaveError: the data are larger than `LARGEST_DATA`.
    """
    content = escape_json(data)
    if (size := len(content.encode("utf-8"))) > LARGEST_DATA:
        raise SaveError(
            f"{title}: the page would hold {size / 1e6:.1f} MB of data, more than {LARGEST_DATA / 1e6:.0f} MB; "
            "show fewer or shorter texts"
        )
    style = "".join(_read(f"{part}.css") for part in ("page", *parts, name))
    script = "".join(_read(f"{part}.js") for part in ("page", *parts, name))
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return Template(_read("page.html")).substitute(
        policy=policy,
        title=html.escape(without_surrogates(title)),
        style=style,
        body=_read(f"{name}.html"),
        data=content,
        script=script,
    )


def escape_json(data: Any) -> str:
    """Return JSON that no HTML parser can take for a tag or a comment: `<` is written as an escape."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return without_surrogates(text).replace("<", "\\u003c")


def _read(file: str) -> str:
    return resources.files("seqgen.pages").joinpath("templates", file).read_text("utf-8")


def _hash(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode("utf-8")).digest()).decode("ascii")
