"""Turn what the user names into batches: text -> split -> tokenizer -> ids -> batches.

pipeline.py      the way from the settings to ids, for training and for commands
cache/           what is kept on disk on that way
split.py         which parts of a text are for training and which for validation; leakage.py compares the two
documents.py     ids of documents in one array
batches.py       ids -> batches, as functions of the step; permutation.py draws the order of windows
"""
