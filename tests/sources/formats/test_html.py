from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from seqgen.sources.formats import html
from seqgen.sources.formats.html import shown_text

PAGE = """<!doctype html><html><head><title>T</title><style>p {}</style><script>var a = '<p>no</p>';</script></head>
<body><h1>Head</h1><p>One &lt;two&gt;
 <i>thr</i>ee &eacute;<br>line</p><ul><li>a<li>b</ul><noscript>no</noscript>
<table><tr><td>1<td>2<tr><td>3</table><pre>  keep
   this</pre><!-- no --><div>end</div></body></html>"""
SHOWN = "Head\n\nOne <two> three é\nline\n\na\nb\n\n1\t2\n3\n\n  keep\n   this\n\nend\n"


@pytest.mark.parametrize("name", ["a.html", "a.HTM", "a.xhtml"])
def test_a_page_is_read_as_its_shown_text(read, name):
    assert read(name, PAGE) == (SHOWN,)


@given(st.lists(st.integers(0, len(PAGE)), max_size=8))
def test_shown_text_does_not_depend_on_the_chunks(cuts):
    edges = [0, *sorted(cuts), len(PAGE)]

    assert "".join(shown_text(PAGE[start:stop] for start, stop in pairwise(edges))) == SHOWN


@pytest.mark.parametrize(
    ("markup", "shown"),
    [
        ("<pre>a  b</pre>c  d", "a  b\n\nc d\n"),
        ("<pre>a<pre>b</pre>c  d</pre>e  f", "a\n\nb\n\nc  d\n\ne f\n"),
        ("a  b</pre><pre>c  d</pre>", "a b\n\nc  d\n"),
    ],
)
def test_white_space_is_kept_up_to_the_end_of_pre(read, markup, shown):
    assert read("a.html", markup) == (shown,)


def test_declared_entities_are_not_expanded(read):
    content = '<!DOCTYPE html [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><html><body>x &b; y</body></html>'

    assert read("a.xhtml", content) == ("x &b; y\n",)


def test_a_page_without_tags_is_read_as_text(read):
    assert read("a.html", "plain  text") == ("plain text\n",)


def test_a_page_is_decoded_with_the_encoding(read):
    assert read("a.html", "<p>나는</p>".encode("cp949"), encoding="cp949") == ("나는\n",)


@settings(max_examples=50)
@example("<![a;")
@example("<![;>a")
@given(st.text(alphabet="<>/!-&;[]aptdrscriptpre \n"))
def test_shown_text_accepts_any_markup(markup):
    assert isinstance("".join(shown_text([markup])), str)


@pytest.mark.parametrize("start", ["<p ", "<!-- ", "</p ", "<![CDATA[ ", "<a href='"])
def test_markup_without_an_end_is_read_as_text(start):
    markup = start * 100_000  # html.parser alone takes minutes

    assert "".join(shown_text(["<p>a</p>", markup])) == f"a\n\n{' '.join(markup.split())}\n"


def test_markup_without_an_end_is_held_up_to_a_limit(monkeypatch):
    monkeypatch.setattr(html, "MAX_MARKUP", 10)

    texts = shown_text(["<p x", "x" * 20, "<b>b</b>"])

    assert next(texts) == "<p x" + "x" * 20
    assert "".join(texts) == "b\n"
