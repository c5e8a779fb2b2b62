"""`seqgen train`: a text in, a run out."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from seqgen.cli.options import QuietOption, as_vocab_size, drop_none
from seqgen.cli.output import notice
from seqgen.cli.signals import Interrupts, leaving_at_once

if TYPE_CHECKING:
    from seqgen.runs.train import TrainingRun

_MODEL, _TRAINING, _DATA, _RUN = "Model", "Training", "Text", "Run"


def train(
    text: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TEXT",
            help="Text files, .jsonl .json .csv .tsv .html .epub, folders, .zip .tar, - for stdin, corpus:NAME; also "
            ".gz .bz2 .xz .zst.",
            show_default="corpus:pydoc, embedded",
        ),
    ] = None,
    cell: Annotated[
        Literal["rnn", "lstm", "gru", "transformer"] | None,
        typer.Option(help="Model architecture.", show_default="lstm", rich_help_panel=_MODEL),
    ] = None,
    hidden_size: Annotated[
        int | None, typer.Option(help="Hidden size.", show_default="by cell and time", rich_help_panel=_MODEL)
    ] = None,
    layers: Annotated[
        int | None, typer.Option(help="Number of layers.", show_default="by cell and time", rich_help_panel=_MODEL)
    ] = None,
    embedding_size: Annotated[
        int | None,
        typer.Option(
            help="rnn, lstm, gru: embedding size.",
            show_default="hidden size, up to 128",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    gru_reset: Annotated[
        Literal["after", "before"] | None,
        typer.Option(
            help="gru: apply the reset gate after or before the matrix product.",
            show_default="after",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    heads: Annotated[
        int | None, typer.Option(help="transformer: attention heads.", show_default="4", rich_help_panel=_MODEL)
    ] = None,
    block_size: Annotated[
        int | None,
        typer.Option(
            help="transformer: tokens that attention reaches back.", show_default="64", rich_help_panel=_MODEL
        ),
    ] = None,
    positions: Annotated[
        Literal["rope", "sinusoidal"] | None,
        typer.Option(help="transformer: position encoding.", show_default="rope", rich_help_panel=_MODEL),
    ] = None,
    dropout: Annotated[
        float | None,
        typer.Option(help="Dropout rate.", show_default="by cell and time", rich_help_panel=_MODEL),
    ] = None,
    tie_weights: Annotated[
        bool | None,
        typer.Option(
            "--tie-weights/--no-tie-weights",
            help="Share input and output embeddings.",
            show_default="no",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option(
            metavar="KIND|DIR",
            help="char, byte, word, unigram, bpe, or a directory of `seqgen tokenizer build`.",
            show_default="char",
            rich_help_panel=_DATA,
        ),
    ] = None,
    vocab_size: Annotated[
        str | None,
        typer.Option(
            metavar="N|auto",
            help="word, unigram, bpe: vocabulary size; auto chooses by the text.",
            show_default="2000; word 10000",
            rich_help_panel=_DATA,
        ),
    ] = None,
    character_coverage: Annotated[
        float | None,
        typer.Option(
            help="unigram, bpe: share of characters that the vocabulary covers.",
            show_default="0.9995",
            rich_help_panel=_DATA,
        ),
    ] = None,
    normalization: Annotated[
        Literal["none", "nfc", "nfd"] | None,
        typer.Option(
            help="Unicode normalization form of the text; nfd splits Hangul into jamo.",
            show_default="none",
            rich_help_panel=_DATA,
        ),
    ] = None,
    encoding: Annotated[
        str | None,
        typer.Option(help="Text encoding; bytes reads raw bytes.", show_default="utf-8", rich_help_panel=_DATA),
    ] = None,
    errors: Annotated[
        Literal["strict", "replace", "ignore"] | None,
        typer.Option(
            help="Invalid bytes: refuse the text, replace them by U+FFFD, or leave them out.",
            show_default="strict",
            rich_help_panel=_DATA,
        ),
    ] = None,
    glob: Annotated[
        list[str] | None,
        typer.Option(
            help="Which files of a folder or archive to read: {txt,md} is either; may be repeated.",
            show_default="*.txt",
            rich_help_panel=_DATA,
        ),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(help="Files or folders to leave out: a pattern or a folder's name.", rich_help_panel=_DATA),
    ] = None,
    field: Annotated[
        str | None,
        typer.Option(
            help="Which CSV column or JSON field is the text: body, user.name, messages[].content.",
            show_default="text",
            rich_help_panel=_DATA,
        ),
    ] = None,
    on_bad_line: Annotated[
        Literal["refuse", "skip"] | None,
        typer.Option(
            help="Lines and rows that are malformed or lack the field: refuse the file, or skip and count them.",
            show_default="refuse",
            rich_help_panel=_DATA,
        ),
    ] = None,
    cache_dir: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Directory of the cached texts and ids.",
            show_default="in the user's cache",
            rich_help_panel=_DATA,
        ),
    ] = None,
    valid: Annotated[str | None, typer.Option(metavar="FILE", help="Validation text.", rich_help_panel=_DATA)] = None,
    valid_split: Annotated[
        Literal["blocks", "tail", "document", "file", "none"] | None,
        typer.Option(
            help="Or withhold 20 spread blocks, the tail, whole documents or files, or nothing.",
            show_default="blocks",
            rich_help_panel=_DATA,
        ),
    ] = None,
    valid_share: Annotated[
        float | None, typer.Option(help="Share of the text to withhold.", show_default="0.05", rich_help_panel=_DATA)
    ] = None,
    allow_unknown: Annotated[
        bool | None,
        typer.Option(
            "--allow-unknown",
            help="With --init-from or --tokenizer DIR: train even if over 20% of the text is <unk>.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    max_time: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Training time: 90s, 5m, 1h.", show_default="2m", rich_help_panel=_TRAINING),
    ] = None,
    max_steps: Annotated[
        int | None, typer.Option(help="Maximum number of optimizer steps.", rich_help_panel=_TRAINING)
    ] = None,
    max_epochs: Annotated[
        float | None, typer.Option(help="Maximum number of epochs.", rich_help_panel=_TRAINING)
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(help="Sequences per batch.", show_default="by cell and time", rich_help_panel=_TRAINING),
    ] = None,
    bptt: Annotated[
        int | None,
        typer.Option(
            help="rnn, lstm, gru: tokens that gradients are propagated back.",
            show_default="by cell and time",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    grad_accum: Annotated[
        int | None,
        typer.Option(
            help="Gradient accumulation: batches per optimizer step.", show_default="1", rich_help_panel=_TRAINING
        ),
    ] = None,
    optimizer: Annotated[
        Literal["adamw", "muon"] | None,
        typer.Option(
            help="Optimizer; muon applies to the matrices between embedding and head.",
            show_default="by cell and time",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    lr: Annotated[
        float | None,
        typer.Option(help="Peak learning rate.", show_default="by cell and time", rich_help_panel=_TRAINING),
    ] = None,
    schedule: Annotated[
        Literal["linear", "cosine", "constant"] | None,
        typer.Option(help="Learning rate schedule.", show_default="linear", rich_help_panel=_TRAINING),
    ] = None,
    warmup_steps: Annotated[
        int | None,
        typer.Option(help="Warmup steps.", show_default="a tenth, at most 100", rich_help_panel=_TRAINING),
    ] = None,
    weight_decay: Annotated[
        float | None,
        typer.Option(
            help="Weight decay of the matrices between embedding and head.",
            show_default="by cell and time",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    clip_grad_norm: Annotated[
        float | None, typer.Option(help="Clip gradients to this norm.", show_default="1.0", rich_help_panel=_TRAINING)
    ] = None,
    eval_every: Annotated[
        int | None, typer.Option(help="Steps between evaluations.", show_default="a tenth", rich_help_panel=_TRAINING)
    ] = None,
    save_every: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Maximum time between checkpoints.", show_default="10m", rich_help_panel=_RUN
        ),
    ] = None,
    on_save_error: Annotated[
        Literal["retry", "stop"] | None,
        typer.Option(
            help="If a checkpoint cannot be written: try again at the next one, or stop.",
            show_default="retry",
            rich_help_panel=_RUN,
        ),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(
            help="Stop after this many evaluations without improvement.",
            show_default="never",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    precision: Annotated[
        Literal["auto", "fp32", "bf16"] | None,
        typer.Option(
            help="Precision; auto uses bf16 where the hardware supports it.",
            show_default="auto",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Device: auto, cpu, cuda, ...", show_default="auto", rich_help_panel=_TRAINING)
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(help="CPU threads.", show_default="all; by --max-time the fastest", rich_help_panel=_TRAINING),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed.", show_default="0", rich_help_panel=_TRAINING)] = None,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="DIR", help="The run's directory.", show_default="runs/<text>-<cell>", rich_help_panel=_RUN
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume the run in --out, or the newest one.", rich_help_panel=_RUN)
    ] = False,
    init_from: Annotated[
        str | None, typer.Option(metavar="DIR", help="Start from another run's weights.", rich_help_panel=_RUN)
    ] = None,
    plan_from: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Repeat another run's steps and threads, to get exactly its weights.",
            rich_help_panel=_RUN,
        ),
    ] = None,
    quiet: QuietOption = False,
) -> None:
    """Train a model on a text.

    Ctrl-C saves a checkpoint; [bold]seqgen train --resume[/bold] goes on from it.
    """
    settings = drop_none(
        cell=cell, hidden_size=hidden_size, layers=layers, embedding_size=embedding_size, gru_reset=gru_reset,
        heads=heads, block_size=block_size, positions=positions, dropout=dropout, tie_weights=tie_weights,
        tokenizer=tokenizer, vocab_size=as_vocab_size(vocab_size), character_coverage=character_coverage,
        normalization=normalization, encoding=encoding, errors=errors, glob=glob, exclude=exclude, field=field,
        on_bad_line=on_bad_line, cache_dir=cache_dir,
        valid=valid, valid_split=valid_split, valid_share=valid_share, max_time=max_time, max_steps=max_steps,
        max_epochs=max_epochs, batch_size=batch_size, bptt=bptt, grad_accum=grad_accum, optimizer=optimizer, lr=lr,
        schedule=schedule, warmup_steps=warmup_steps, weight_decay=weight_decay, clip_grad_norm=clip_grad_norm,
        eval_every=eval_every, patience=patience, save_every=save_every, on_save_error=on_save_error,
        precision=precision, device=device, threads=threads, seed=seed, allow_unknown=allow_unknown,
    )  # fmt: skip
    source = {"text": text or None, "out": out, "resume": resume, "init_from": init_from, "plan_from": plan_from}
    run = run_training(quiet=quiet, stop=Interrupts(), **source, **settings)
    notice(f"write with it: seqgen sample --run {run.path}", quiet=quiet)


def run_training(*, quiet: bool, stop: Interrupts, **settings: Any) -> TrainingRun:
    """Prepare and train, drawn on the screen; an interrupted run leaves the program with its exit code."""
    from seqgen.cli.screen import TrainingScreen

    started = time.perf_counter()
    with TrainingScreen(quiet=quiet) as screen:
        screen.prepare("loading torch")
        with leaving_at_once():
            from seqgen.runs.train import train as prepare
            from seqgen.training.events import Finished

        run = prepare(stop=stop, report=screen.prepare, started=started, **settings)
        screen.begin(run)
        with stop:
            for event in run:
                screen.show(event)
    # A signal that came after the last step has nothing left to stop.
    if stop.exit_code is not None and isinstance(event, Finished) and event.reason == "stopped":
        notice(f"go on with it: seqgen train --resume --out {run.path}", quiet=quiet)
        sys.exit(stop.exit_code)
    return run
