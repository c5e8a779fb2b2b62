"""`seqgen sample`: generate text with a trained run, or compare continuations."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from functools import partial
from itertools import chain, repeat
from typing import TYPE_CHECKING, Annotated, Any

import typer
from seqgen.cli.bars import WorkBar, announce_time
from seqgen.cli.commands.sample.choices import print_choices, read_choices, refuse_settings
from seqgen.cli.options import JsonLinesOption, QuietOption, RunOption, machine_settings, pick, with_settings
from seqgen.cli.output import notice, write_json, write_stream, write_text
from seqgen.cli.prompt import check_stops, check_vocabulary, interpret_escapes, read_prompt, read_prompts
from seqgen.cli.signals import exit_on_signal

from seqgen.config import SAMPLING, settings_of
from seqgen.errors import ConfigError
from seqgen.generation.config import SamplingConfig
from seqgen.sources.config import Reading
from seqgen.utils.text import plural

if TYPE_CHECKING:
    from seqgen.evaluation.memorization import Memorization
    from seqgen.generation.generate import Completion
    from seqgen.runs.text import TextRun

SETTINGS = {
    **settings_of(SamplingConfig),
    "encoding": settings_of(Reading)["encoding"]._replace(shown="utf-8; bytes as trained", group=SAMPLING),
    **machine_settings(SAMPLING),
}
MEASURING = ("encoding", "device", "threads", "precision")
"""The settings that matter to choices too."""
QUOTED = 60
"""Characters of a copied passage that are shown."""
PromptOption = Annotated[str, typer.Option(help="Text to continue; - reads it from stdin.")]
PromptFileOption = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="File with the prompt; as with stdin, a final line end is dropped."),
]
PromptsFileOption = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help='File with a prompt in each line; in a .jsonl file each line is a string or {"prompt": ...}.',
    ),
]
AdaptOption = Annotated[
    str | None, typer.Option(metavar="FILE", help="Let the model learn from this text first; the run is not changed.")
]
ChoicesOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="A,B,...",
        help="Compare these continuations of the prompt instead of sampling; repeated, each is one.",
    ),
]
NoSpaceOption = Annotated[bool, typer.Option("--no-space", help="Add no space between the prompt and a choice.")]
NumSamplesOption = Annotated[
    int, typer.Option("--num-samples", "-n", help="Number of texts; with --prompts-file, for each prompt.")
]
NoEchoOption = Annotated[bool, typer.Option("--no-echo", help="Print the new text without the prompt.")]
EscapesOption = Annotated[
    bool, typer.Option("--escapes", help=r"Read \n, \t, \r, \\, \xHH and \uHHHH in --prompt and --stop.")
]
StrictOption = Annotated[
    bool, typer.Option("--strict", help="Refuse a prompt or a choice with characters that are not in the vocabulary.")
]
MemorizationOption = Annotated[
    bool, typer.Option("--memorization", help="Report how much of each text occurs verbatim in the training text.")
]
MAIN = ("temperature", "max_new_tokens", "top_k", "top_p", "stop", "seed")


@with_settings(SETTINGS, main=MAIN)
def sample(
    run: RunOption = None,
    prompt: PromptOption = "",
    prompt_file: PromptFileOption = None,
    prompts_file: PromptsFileOption = None,
    adapt: AdaptOption = None,
    choices: ChoicesOption = None,
    no_space: NoSpaceOption = False,
    num_samples: NumSamplesOption = 1,
    no_echo: NoEchoOption = False,
    escapes: EscapesOption = False,
    strict: StrictOption = False,
    memorization: MemorizationOption = False,
    json: JsonLinesOption = False,
    quiet: QuietOption = False,
    **settings: Any,
) -> None:
    """Generate text with the newest run, or the run that --run names.

    One text is streamed to stdout; several are generated in one batch. The output begins with the prompt.
    Without a prompt a text begins as a line, or a document, of the training text does.
    With --json, each text is an object in its own line.
    With --choices, nothing is sampled: the total nats of each choice and of a word end after it, and its share.
    """
    if choices:
        flags = {"num_samples": num_samples != 1, "no_echo": no_echo, "memorization": memorization}
        refuse_settings({name: value for name, value in settings.items() if name not in MEASURING}, **flags)
    elif no_space:
        raise ConfigError("no_space: it applies to --choices; leave it out")
    with exit_on_signal():
        from seqgen.runs.load import load
        from seqgen.runs.text import TextRun

    if escapes:
        prompt = _interpret_escapes(prompt, settings)
    model = load(run, **pick(settings, "device", "threads")).expect(TextRun)
    encoding = model.reading(**pick(settings, "encoding")).encoding
    prompts, places = _read_prompts(prompt, prompt_file, prompts_file, encoding)
    _check(model, prompts, places, settings, strict=strict, quiet=quiet)
    several = prompts_file is not None or num_samples != 1
    if model.config.data.is_raw and several and not json and not choices and not sys.stdout.isatty():
        raise ConfigError("num_samples: texts of bytes cannot be told apart in a pipe; add --json, or sample one text")
    compared = read_choices(choices, model, space=not no_space, strict=strict, quiet=quiet) if choices else []
    if adapt is not None:
        model = _adapt(model, adapt, encoding, quiet=quiet)
    if compared:
        print_choices(model, prompts, places, compared, space=not no_space, json=json, quiet=quiet, **settings)
        return
    settings |= {"num_samples": num_samples} if several or json else {}
    _generate(model, prompts, places, settings, echo=not no_echo, memorization=memorization, json=json, quiet=quiet)


def _generate(
    model: TextRun,
    prompts: list[str],
    places: list[str],
    settings: dict[str, Any],
    *,
    echo: bool,
    memorization: bool,
    json: bool,
    quiet: bool,
) -> None:
    """Sample and print texts: one is streamed, unless `settings` has `num_samples`."""
    learned = model.training_texts() if memorization else None  # before anything is written: the text may be missing
    with WorkBar("reading the prompt", quiet=quiet) as bar:
        settings["progress"] = bar.show if len(prompts) == 1 else None
        if "num_samples" in settings:
            made = _complete(model, prompts, places, **settings)
            show = partial(_print_json, learned=learned) if json else partial(_print_all, echo=echo, quiet=quiet)
            texts = show(model, made)
        else:
            texts = [_stream(model, prompts[0], settings, echo=echo)]
    if learned is not None and not json:
        _note_copies(texts, learned, quiet=quiet)


def _adapt(model: TextRun, text: str, encoding: str, *, quiet: bool) -> TextRun:
    """Return the run with a model that has learned from a text; note how long that takes, and divergence."""
    from seqgen.sources.source import load_documents

    documents = load_documents([text], model.reading(encoding=encoding), lambda message: notice(message, quiet=quiet))
    with WorkBar(f"adapting to {text}", quiet=quiet) as bar:
        adapted = model.adapt(documents, progress=announce_time(f"adapting to {text}", bar.show, quiet=quiet))
    for member, tokens in adapted.diverged.items():
        notice(
            f"adapting to {text}: the weights of {member} diverged after {plural(tokens, 'token')}; the trained "
            "weights came back",
            quiet=quiet,
        )
    return adapted


def _read_prompts(
    prompt: str, prompt_file: str | None, prompts_file: str | None, encoding: str
) -> tuple[list[str], list[str]]:
    """Return the prompts, one or those of a file, and for those of a file their places for messages."""
    if prompts_file is None:
        return [read_prompt(prompt, prompt_file, encoding)], []
    if prompt or prompt_file is not None:
        raise ConfigError("prompts_file: give one prompt or a file with many, not both")
    numbered = read_prompts(prompts_file, encoding)
    return [text for _, text in numbered], [f"{prompts_file}, line {number}" for number, _ in numbered]


def _complete(model: TextRun, prompts: list[str], places: list[str], **settings: Any) -> Iterator[Completion]:
    """Generate texts after each prompt; a message about a prompt of a file names its place."""
    from seqgen.generation.generate import PromptError

    try:
        return model.complete(prompts, **settings)
    except PromptError as error:
        if not places:
            raise
        raise ConfigError(f"{places[error.number]}: {str(error).removeprefix('prompt: ')}") from error


def _check(
    model: TextRun, prompts: list[str], places: list[str], settings: dict[str, Any], *, strict: bool, quiet: bool
) -> None:
    """Note what the vocabulary lacks, or refuse it by its place; for a model of bytes, turn stop strings into bytes."""
    from seqgen.sources.content import bytes_as_characters

    if strict and places:
        for prompt, place in zip(prompts, places, strict=True):
            check_vocabulary([prompt], model, place, strict=True, quiet=quiet)
    else:
        check_vocabulary(prompts, model, "a prompt" if places else "the prompt", strict=strict, quiet=quiet)
    check_stops(settings.get("stop", ()), model, quiet=quiet)
    if "stop" in settings and model.config.data.is_raw:
        settings["stop"] = tuple(map(bytes_as_characters, settings["stop"]))


def _interpret_escapes(prompt: str, settings: dict[str, Any]) -> str:
    """Interpret the escapes in `settings["stop"]` and in the prompt, which is returned."""
    if prompt in {"", "-"} and "stop" not in settings:
        raise ConfigError("escapes: it applies to --prompt and --stop, and neither is given; leave it out")
    if "stop" in settings:
        settings["stop"] = [interpret_escapes(text, "stop") for text in settings["stop"]]
    return interpret_escapes(prompt, "prompt")


def _print_json(model: TextRun, made: Iterable[Completion], learned: Iterable[Iterable[str]] | None) -> list[str]:
    """Print each text as a JSON object, as soon as it is known; return the texts."""
    copies: Iterable[Memorization | None] = repeat(None)
    if learned is not None:
        made = list(made)
        copies = _compare([completion.text for completion in made], learned)
    texts = []
    for completion, copied in zip(made, copies, strict=False):
        texts.append(completion.text)
        memorization = {} if copied is None else {"memorization": asdict(copied)}
        write_json({"run": str(model.path), **asdict(completion), **memorization})
    return texts


def _print_all(model: TextRun, made: Iterable[Completion], *, echo: bool, quiet: bool) -> list[str]:
    """Print several texts, and return them without their prompts.

    Texts of a run that ends them are separated as in a file of lines or paragraphs, others are printed under their
    number.
    """
    from seqgen.generation.generate import separator

    completions, raw = list(made), model.config.data.is_raw
    wholes = [model.tokenizer.written(one.prompt * echo + one.text) for one in completions]
    between = separator(wholes) if model.config.text.ends else None
    if between is not None:
        write_text(between.join(wholes) + "\n", raw=raw)
    else:
        for number, whole in enumerate(wholes):
            write_text(f"{'' if number == 0 else chr(10)}--- {number + 1} ---\n{whole}\n", raw=raw)
    unfinished = sum(one.finish_reason == "length" for one in completions)
    if model.config.text.ends and unfinished:
        texts = plural(len(completions), "text")
        notice(f"{unfinished:,} of {texts} did not end by themselves; raise --max-new-tokens", quiet=quiet)
    return [one.text for one in completions]


def _stream(model: TextRun, start: str, settings: dict[str, Any], *, echo: bool) -> str:
    """Write a text while it is generated, after the prompt if `echo` is set; return what was generated."""
    from seqgen.tokenizers.normalization import compose_chunks

    generated = model.generate(start, stream=True, **settings)
    # Read the prompt, with its bar, and meet errors before anything is written.
    made = [next(generated, "")]

    def new() -> Iterator[str]:
        yield made[0]
        for piece in generated:
            made.append(piece)
            yield piece

    pieces, raw = chain([start] if echo else [], new()), model.config.data.is_raw
    try:
        write_stream(pieces if model.tokenizer.normalization == "none" else compose_chunks(pieces), raw=raw)
    finally:
        if not raw or sys.stdout.isatty():  # of bytes in a pipe it would be one more byte
            write_text("\n")
    return "".join(made)


def _note_copies(texts: list[str], learned: Iterable[Iterable[str]], *, quiet: bool) -> None:
    """Note how much of each text occurs in the training text."""
    for number, found in enumerate(_compare(texts, learned), 1):
        notice(f"{'' if len(texts) == 1 else f'sample {number}: '}{_describe(found)}", quiet=quiet)


def _compare(texts: list[str], learned: Iterable[Iterable[str]]) -> list[Memorization]:
    from seqgen.evaluation.memorization import measure_memorization

    return measure_memorization(texts, learned)


def _describe(found: Memorization) -> str:
    """Describe in one line how much of a sample occurs in the training text."""
    from seqgen.evaluation.memorization import NGRAM

    copy = found.longest_copy
    quoted = repr(copy if len(copy) <= QUOTED else f"{copy[: QUOTED // 2]} ... {copy[-QUOTED // 2 :]}")
    return (
        f"longest copy from the training text: {len(copy)} of {plural(found.characters, 'character')}, {quoted}; "
        f"{found.copied_share:.0%} of the sample is in copies of {NGRAM} characters or more"
    )
