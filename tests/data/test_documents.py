from __future__ import annotations

import numpy as np

from seqgen.data.documents import Documents


def test_documents_are_slices_of_one_array():
    documents = Documents.of([np.array([1, 2]), np.array([], dtype=np.int64), np.array([3])])

    assert (len(documents), documents.tokens) == (2, 3)
    assert [ids.tolist() for ids in documents] == [[1, 2], [3]]
    assert documents[-1].tolist() == [3]
    assert [ids.tolist() for ids in documents[:1]] == [[1, 2]]
    assert np.shares_memory(documents[0], documents.ids)


def test_empty_documents_are_left_out():
    assert (len(Documents.of([])), Documents.of([]).tokens) == (0, 0)


def test_tokens_and_lengths_count_ends():
    documents = Documents(np.array([1, 2, 3]), np.array([0, 2, 3]), np.array([True, False]))

    assert (documents.tokens, documents.lengths.tolist()) == (4, [3, 1])
    assert Documents.of([np.array([1, 2]), np.array([])], ends=True).ends.tolist() == [True]
    assert Documents.of([np.array([1, 2])]).ends.tolist() == [False]
