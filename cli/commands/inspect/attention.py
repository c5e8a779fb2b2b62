"""`seqgen inspect attention`: where the heads of a transformer look, and what an encoder-decoder aligns."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from seqgen.cli.commands.inspect.arguments import (
    MACHINE,
    SETTINGS,
    MemberOption,
    read_passage,
    run_and_text,
    text_name,
)
from seqgen.cli.commands.pairs.translate import draw_attention, print_map
from seqgen.cli.options import (
    NEEDS_A_TEXT,
    JsonOption,
    QuietOption,
    RunArgument,
    pick,
    refuse_reading,
    texts_of,
    with_settings,
)
from seqgen.cli.output import check_out, notice, notice_written, printable, stdout, write_json
from seqgen.cli.prompt import check_vocabulary
from seqgen.cli.signals import exit_on_signal

from seqgen.errors import ConfigError, TextError
from seqgen.pages.chart_file import CHART_SUFFIXES, PAGE_SUFFIX
from seqgen.sources.config import STDIN
from seqgen.utils.files import write_atomically
from seqgen.utils.text import plural

if TYPE_CHECKING:
    from seqgen.inspection.attention import TextAttention
    from seqgen.pages.attention import AttentionExample
    from seqgen.runs.pairs.translator import TranslatorRun
    from seqgen.runs.text import TextRun


@with_settings(SETTINGS, main=MACHINE)
def attention(
    run: RunArgument = None,
    text: Annotated[
        str | None,
        typer.Argument(metavar="TEXT", help="Text, a file, or - for stdin.", show_default="from the validation part"),
    ] = None,
    layer: Annotated[int | None, typer.Option(metavar="N", help="Show the map of this layer, from 0.")] = None,
    head: Annotated[
        int | None, typer.Option(metavar="N", help="Show the map of this head, from 0.", show_default="their mean")
    ] = None,
    member: MemberOption = None,
    out: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Write a page, OUT.html, or a picture, .png or .svg, of the maps."),
    ] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    **settings: Any,
) -> None:
    """Show where each head of a transformer looks: mean distance, entropy, induction score, and maps.

    Of a run of --task translate it shows what seqgen translate --attention draws.
    A single argument that is not a directory is the text.
    """
    path = check_out(out, CHART_SUFFIXES)
    run, text = run_and_text(run, text)
    if head is not None and layer is None:
        raise ConfigError("head: each layer counts its heads from 0; add --layer")
    with exit_on_signal():
        from seqgen.device import torch_threads
        from seqgen.inspection.attention import measure_attention
        from seqgen.runs.load import load
        from seqgen.runs.pairs.translator import TranslatorRun
        from seqgen.runs.text import TextRun

    machine = pick(settings, *MACHINE)
    model = load(run, **machine)
    if isinstance(model, TranslatorRun):
        encoding = pick(settings, "encoding")
        for name, value in {"layer": layer, "head": head, "member": member, **settings}.items():
            if value is not None:
                raise ConfigError(f"{name}: it belongs to runs that continue texts; leave it out")
        _show_alignments(model, text, encoding, out, json=json, quiet=quiet)
        return
    content = read_passage(model.expect(TextRun), text, settings, quiet=quiet)
    with torch_threads(machine.get("threads")):
        found = measure_attention(model, content, member=member)
    if found.is_cut:
        notice(f"the text is long; reading stops after {plural(len(found.tokens), 'token')}", quiet=quiet)
    check_vocabulary(["".join(found.tokens)], model, "the text", quiet=quiet)
    shown = None if layer is None else _choose_map(found, layer, head)
    if path is not None:
        _write(found, shown, f"Attention of {model.path.name}", (layer, head), path)
        notice_written(path, quiet=quiet)
    if json:
        write_json(_as_record(model, text, found))
    elif path is None:
        _print(model, found, shown)


def _choose_map(found: TextAttention, layer: int, head: int | None) -> AttentionExample:
    """Return the map of a head, or the mean of a layer.

    Raises:
        ConfigError: the layer or head does not exist.
    """
    from dataclasses import replace

    from seqgen.pages.attention import layer_examples

    layers, heads = found.weights.shape[:2]
    for name, number, count in (("layer", layer, layers), ("head", head or 0, heads)):
        if not 0 <= number < count:
            raise ConfigError(f"{name}: the model has {plural(count, name)}, from 0 to {count - 1}, and not {number}")
    example = layer_examples(found)[layer]
    return example if head is None else replace(example, weights=example.heads[head], head_names=())


def _write(
    found: TextAttention, shown: AttentionExample | None, title: str, place: tuple[int | None, int | None], path: Path
) -> None:
    """Write a page with the map of a layer and head first, or a picture of all heads, or of the map that is shown."""
    from seqgen.pages.attention import heads_page, layer_examples
    from seqgen.pages.attention_picture import write_attention_picture, write_heads_picture

    if path.suffix.lower() == PAGE_SUFFIX:
        write_atomically(path, heads_page(found, title, *place).encode())
    elif shown is None:
        write_heads_picture(layer_examples(found), path)
    else:
        write_attention_picture(shown, path)


def _print(model: TextRun, found: TextAttention, shown: AttentionExample | None) -> None:
    """Print the figures of all heads, or the map that is shown."""
    from rich.table import Table

    if shown is not None:
        print_map(shown)
        return
    console = stdout()
    line = f"{model.path}: {plural(len(found.heads), 'head')}, {plural(len(found.tokens), 'token')} of text"
    console.print(printable(line), soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    for name in ("layer", "head", *found.heads[0].figures):
        table.add_column(name, justify="right")
    table.add_column("")
    for one in found.ranked:
        figures = (f"{figure:.2f}" for figure in one.figures.values())
        table.add_row(str(one.layer), str(one.head), *figures, f"{one.role} head" if one.role else "")
    console.print(table)
    console.print(found.note, soft_wrap=True)


def _as_record(model: TextRun, text: str | None, found: TextAttention) -> dict[str, Any]:
    """Return the figures and the weights of each head, with the texts of the tokens."""
    return {
        "run": str(model.path),
        "text": text_name(text),
        "tokens": len(found.tokens),
        "token_texts": found.tokens,
        "unknown": found.unknown,
        "is_cut": found.is_cut,
        "repeated_tokens": found.repeated,
        "heads": [
            {**asdict(one), "role": one.role or None, "weights": found.weights[one.layer, one.head].tolist()}
            for one in found.heads
        ],
    }


def _show_alignments(
    model: TranslatorRun, text: str | None, encoding: dict[str, Any], out: str | None, *, json: bool, quiet: bool
) -> None:
    """Draw the alignments of sources, or print them as JSON."""
    if not model.model.attends:
        raise ConfigError(f"{model.path} was trained with --attention none, so it has none; name another run")
    if text is None:
        refuse_reading(encoding, NEEDS_A_TEXT)
        sources = list(model.validation_texts()[:1])
    else:
        batches, _ = texts_of(text, "the source", encoding, model.config.data, quiet=quiet)
        sources = [source for batch in batches for source in batch if source]
        if not sources:
            raise TextError(f"{text} has no sources; write one in each line")
    if out is not None or not json:
        draw_attention(model, sources, STDIN if out is None else out, {}, quiet=quiet)
    if json:
        found = [model.attention(source) for source in sources]
        record = {"run": str(model.path), "text": text_name(text), "tokens": sum(len(one.source) for one in found)}
        examples = [{**one._asdict(), "weights": one.weights.tolist()} for one in found]
        write_json({**record, "examples": examples})
