"""`seqgen corpus encode`: a text into the cache, ready to be trained on; no torch."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from seqgen.cli.options import (
    BadLineOption,
    EncodingOption,
    ErrorsOption,
    ExcludeOption,
    FieldOption,
    GlobOption,
    JsonOption,
    NormalizationOption,
    QuietOption,
    as_vocab_size,
    drop_none,
)
from seqgen.cli.output import notice, printable, stderr, stdout, write_json

if TYPE_CHECKING:
    from seqgen.data.config import DataConfig
    from seqgen.tokenizers.config import TokenizerConfig


def encode(
    texts: Annotated[
        list[str], typer.Argument(metavar="TEXT", help="Files, folders, archives or corpora, as for train.")
    ],
    tokenizer: Annotated[
        Literal["char", "byte", "word", "unigram", "bpe"] | None,
        typer.Option(help="Kind of tokenizer.", show_default="char; byte with --encoding bytes"),
    ] = None,
    vocab_size: Annotated[
        str | None,
        typer.Option(metavar="N|auto", help="word, unigram, bpe: vocabulary size; auto chooses by the text."),
    ] = None,
    character_coverage: Annotated[
        float | None,
        typer.Option(help="unigram, bpe: share of characters that the vocabulary covers.", show_default="0.9995"),
    ] = None,
    normalization: NormalizationOption = None,
    encoding: EncodingOption = "utf-8",
    errors: ErrorsOption = "strict",
    glob: GlobOption = None,
    exclude: ExcludeOption = None,
    field: FieldOption = None,
    on_bad_line: BadLineOption = None,
    valid: Annotated[str | None, typer.Option(metavar="FILE", help="Validation text.")] = None,
    valid_split: Annotated[
        Literal["blocks", "tail", "document", "file", "none"] | None,
        typer.Option(help="How to withhold a part of the text for validation.", show_default="blocks"),
    ] = None,
    valid_share: Annotated[
        float | None, typer.Option(help="Share of the text to withhold.", show_default="0.05")
    ] = None,
    cache_dir: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Directory of the encoded ids.", show_default="in the user's cache"),
    ] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Read a text and encode it, as train does before its first step; train with the same options finds it done."""
    from seqgen.data.config import DataConfig
    from seqgen.tokenizers.config import TokenizerConfig

    data = DataConfig.of(
        text=tuple(texts), encoding=encoding, errors=errors,
        **drop_none(glob=glob, exclude=exclude, field=field, on_bad_line=on_bad_line),
        **drop_none(valid=valid, valid_split=valid_split, valid_share=valid_share, cache_dir=cache_dir),
    )  # fmt: skip
    config = TokenizerConfig.of(
        kind=tokenizer or ("byte" if data.is_raw else "char"),
        raw=data.is_raw,
        **drop_none(
            vocab_size=as_vocab_size(vocab_size), character_coverage=character_coverage, normalization=normalization
        ),
    )
    figures, notices = _encode(data, config, quiet=quiet)
    if json:
        write_json(figures)
    else:
        for name, value in figures.items():
            shown = f"{value:,}" if isinstance(value, int) else printable(str(value))
            stdout().print(f"{name.replace('_', ' '):<21} {shown}", soft_wrap=True)
    for message in notices:
        notice(message, quiet=quiet)
    notice(
        f"what is in {figures['cache_dir']} can be removed at any time; all but what came from stdin or a pipe is made "
        "again when it is needed",
        quiet=quiet,
    )


def _encode(data: DataConfig, config: TokenizerConfig, *, quiet: bool) -> tuple[dict[str, Any], list[str]]:
    """Text, tokenizer and ids into the cache; figures of them, and what is to be said of the split."""
    from seqgen.cli.progress import Preparing

    from seqgen.data.cache.cache import size_of
    from seqgen.data.pipeline import read_texts
    from seqgen.data.split import share_notice

    began = time.perf_counter()
    drawn = Preparing(stderr())

    def report(message: str, done: int = 0, total: int = 0) -> None:
        if not quiet:
            drawn.show(message, done, total)

    try:
        texts = read_texts(data, report)
        built = texts.tokenizer(config, report)
        ids = texts.ids(built, report).manifest
    finally:
        drawn.stop()
    seconds = time.perf_counter() - began
    read, place = texts.text.manifest, texts.cache.path
    figures = {
        "text": data.name, "bytes": read.characters if data.is_raw else read.bytes, "characters": read.characters,
        "documents": read.documents, "ill_formed": read.issues.ill_formed, "skipped": read.issues.skipped,
        "sha256": read.sha256,
        "tokenizer": built.kind, "vocab_size": built.vocab_size, "fingerprint": built.fingerprint,
        "train_tokens": ids.train.tokens, "valid_tokens": ids.valid.tokens, "unknown": ids.train.unknown,
        "bytes_per_id": int(ids.dtype[-1]), "seconds": round(seconds, 2),
        "megabytes_per_second": round(read.bytes / 1e6 / seconds, 1),
        "cache_dir": str(place), "cache_bytes": size_of(place),
    }  # fmt: skip
    unlike = share_notice(data, ids.valid.characters, read.characters)
    leakage = None if ids.leakage is None or not ids.leakage.is_notable else str(ids.leakage)
    return figures, [*texts.notices, *(message for message in (unlike, leakage) if message is not None)]
