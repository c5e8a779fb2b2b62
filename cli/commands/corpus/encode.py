"""`seqgen corpus encode`: encode a text into the cache, ready for training; no torch."""

from __future__ import annotations

import time
from typing import Any

from seqgen.cli.options import JsonOption, QuietOption, TextsArgument, tokenizer_config, with_settings
from seqgen.cli.output import notice, printable, stderr, stdout, write_json

from seqgen.config import settings_of
from seqgen.data.config import DataConfig
from seqgen.tokenizers.config import TokenizerConfig

SETTINGS = settings_of(TokenizerConfig, DataConfig)
SETTINGS.pop("allow_unknown")  # it is about the vocabulary of another text


@with_settings(SETTINGS, main=("tokenizer", "vocab_size", "valid", "valid_split", "cache_dir"))
def encode(
    texts: TextsArgument,
    json: JsonOption = False,
    quiet: QuietOption = False,
    **settings: Any,
) -> None:
    """Read and encode a text into the cache, as train does before its first step; train then finds it there."""
    config, rest = tokenizer_config(settings)
    figures, notices = _encode(DataConfig.of(text=tuple(texts), **rest), config, quiet=quiet)
    if json:
        write_json(figures)
    else:
        for name, value in figures.items():
            shown = f"{value:,}" if isinstance(value, int) else printable(str(value))
            stdout().print(f"{name.replace('_', ' '):<21} {shown}", soft_wrap=True)
    for message in notices:
        notice(message, quiet=quiet)
    notice(
        f"{figures['cache_dir']} can be removed at any time; it is made again when it is needed, except for texts from "
        "stdin or a pipe",
        quiet=quiet,
    )


def _encode(data: DataConfig, config: TokenizerConfig, *, quiet: bool) -> tuple[dict[str, Any], list[str]]:
    """Put text, tokenizer and ids into the cache; return their figures and notices."""
    from seqgen.cli.bars import PhaseBar

    from seqgen.data.cache.cache import size_of
    from seqgen.data.pipeline import read_texts
    from seqgen.data.split import share_notice

    began = time.perf_counter()
    drawn = PhaseBar(stderr())

    def report(message: str, done: int = 0, total: int = 0) -> None:
        if not quiet:
            drawn.show(message, done, total)

    try:
        texts = read_texts(data, report)
        built = texts.tokenizer(config, report)
        encoded = texts.ids(built, report)
    finally:
        drawn.stop()
    seconds = time.perf_counter() - began
    read, ids, place = texts.text.manifest, encoded.manifest, texts.cache.path
    figures = {
        "text": data.name, "bytes": read.characters if data.is_raw else read.bytes, "characters": read.characters,
        "documents": read.documents, "ill_formed": read.issues.ill_formed, "skipped": read.issues.skipped,
        "empty": read.issues.empty,
        "sha256": read.sha256,
        "tokenizer": built.kind, "vocab_size": built.vocab_size, "fingerprint": built.fingerprint,
        "train_tokens": encoded.train.tokens, "valid_tokens": encoded.valid.tokens, "unknown": ids.train.unknown,
        "bytes_per_id": int(ids.dtype[-1]), "seconds": round(seconds, 2),
        "megabytes_per_second": round(read.bytes / 1e6 / seconds, 1),
        "cache_dir": str(place), "cache_bytes": size_of(place),
    }  # fmt: skip
    unlike = share_notice(data, texts.split.rule, ids.valid.characters, read.characters + read.end_bytes)
    leakage = None if ids.leakage is None or not ids.leakage.is_notable else str(ids.leakage)
    return figures, [*texts.notices, *(message for message in (unlike, leakage) if message is not None)]
