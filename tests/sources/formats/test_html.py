from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqgen.sources.formats.html import shown_text

PAGE = """<!doctype html><html><head><title>T</title><style>p {}</style><script>var a = '<p>no</p>';</script></head>
<body><h1>Head</h1><p>One &lt;two&gt;
 <i>thr</i>ee &eacute;<br>line</p><ul><li>a<li>b</ul><noscript>no</noscript>
<table><tr><td>1<td>2<tr><td>3</table><pre>  keep
   this</pre><!-- no --><div>end</div></body></html>"""
SHOWN = "Head\n\nOne <two> three é\nline\n\na\nb\n\n1\t2\n3\n\n  keep\n   this\n\nend\n"


@pytest.mark.parametrize("name", ["a.html", "a.HTM", "a.xhtml"])
def test_a_page_is_the_text_that_it_shows(read, name):
    assert read(name, PAGE) == (SHOWN,)


@given(st.lists(st.integers(0, len(PAGE)), max_size=8))
def test_a_page_does_not_depend_on_the_blocks_in_which_it_comes(cuts):
    edges = [0, *sorted(cuts), len(PAGE)]

    assert "".join(shown_text(PAGE[start:stop] for start, stop in pairwise(edges))) == SHOWN


def test_no_entity_is_expanded(read):
    content = '<!DOCTYPE html [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><html><body>x &b; y</body></html>'

    assert read("a.xhtml", content) == ("x &b; y\n",)


def test_a_page_without_any_tag_is_its_text(read):
    assert read("a.html", "plain  text") == ("plain text\n",)


def test_the_encoding_holds_for_a_page_too(read):
    assert read("a.html", "<p>나는</p>".encode("cp949"), encoding="cp949") == ("나는\n",)


@given(st.text(alphabet="<>/!-&;[]aptdrscriptpre \n"))
def test_any_markup_gives_text(markup):
    assert isinstance("".join(shown_text([markup])), str)
