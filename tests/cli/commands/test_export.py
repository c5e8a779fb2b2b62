"""`seqgen export`: n-gram models in the ARPA format."""

from __future__ import annotations

import seqgen


def test_export_writes_an_ngram_model_and_no_file_twice(answers, refuses, corpus, in_tmp):
    path = seqgen.train(corpus, cell="ngram", order=3).run().path

    answers("export", "model.arpa", "--run", path)

    lines = (in_tmp / "model.arpa").read_text("utf-8").splitlines()
    assert lines[0] == "\\data\\"
    assert [line.partition("=")[0] for line in lines[1:4]] == ["ngram 1", "ngram 2", "ngram 3"]
    assert lines[-1] == "\\end\\"
    refuses(1, "export", "model.arpa", "--run", path, words=("model.arpa",))
    refuses(4, "export", "missing/model.arpa", "--run", path, words=("missing",))
    for out in ("", "-"):
        refuses(2, "export", out, "--run", path, words=("name",))


def test_export_refuses_a_family_without_the_format(refuses, run, in_tmp):
    refuses(2, "export", "model.arpa", "--run", run, words=("arpa", "gru", "ngram"))
    assert not (in_tmp / "model.arpa").exists()
