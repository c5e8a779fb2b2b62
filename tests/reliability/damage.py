"""Ways to damage the files of a run, and ways to read the run afterwards."""

from __future__ import annotations

import json
from itertools import islice

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

import seqgen
from seqgen.errors import RunError
from seqgen.runs.directory import RunDirectory, find_runs
from seqgen.runs.summary import summarize


def examples(ordinary, campaign):
    """Return hypothesis settings with this many examples, ordinarily and in the campaign."""
    count = campaign if settings.get_current_profile_name() == "campaign" else ordinary
    fixtures = HealthCheck.function_scoped_fixture  # the specimen is restored and reused
    return settings(max_examples=count, suppress_health_check=[fixtures, HealthCheck.too_slow])


# --- ways to damage


PLACES = st.integers(0, (1 << 16) - 1)
EDITS = st.lists(
    st.one_of(
        st.tuples(st.just("flip"), PLACES, st.integers(0, 7)),
        st.tuples(st.just("delete"), PLACES, st.integers(1, 64)),
        st.tuples(st.just("insert"), PLACES, st.binary(min_size=1, max_size=16)),
        st.tuples(st.just("copy"), PLACES, st.integers(1, 64)),
        st.tuples(st.just("cut"), PLACES, st.none()),
    ),
    min_size=1,
    max_size=4,
)


def edited(content, edits):
    """Return `content` with bits flipped, and bytes deleted, inserted, repeated or cut off."""
    for kind, place, what in edits:
        at = place * len(content) >> 16
        match kind:
            case "flip" if content:
                content = content[:at] + bytes([content[at] ^ (1 << what)]) + content[at + 1 :]
            case "delete":
                content = content[:at] + content[at + what :]
            case "insert":
                content = content[:at] + what + content[at:]
            case "copy":
                content = content[:at] + content[at : at + what] + content[at:]
            case "cut":
                content = content[:at]
    return content


INTEGERS = st.one_of(
    st.integers(-2, 70),
    st.integers(0, 70).map(lambda power: 2**power),
    st.sampled_from([-1, 2**31 - 1, 2**63 - 1, 2**63, 10**30, 10**400]),
)
JSON = st.recursive(
    st.none() | st.booleans() | INTEGERS | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
).map(json.dumps)
"""As text; json.dumps writes NaN and Infinity, which are not valid JSON."""
NASTY = st.sampled_from([
    "1" + "0" * 5_000, "-" * 9, "1e999", "-1e999", "1e-999", "NaN", '"\\ud800"', '"\\u0000"', '"\ud800"', "",
    "[" * 2_000, "[" * 300 + "]" * 300, '{"a":' * 2_000, '{"a": 1, "a": 2}', "0.1", "1.0", "true", '"auto"', '"cpu"',
    '"cpu:99999999999999999999"', '"cuda:7"', '"meta"', '"gru"', '"bpe"', '"bf16"', '"undefined"', '"utf-7"',
    '"!!python/object/apply:os.system"', '{"__class__": "os.system"}', "step", "'",
])  # fmt: skip
VALUES = st.one_of(JSON, NASTY)
CHANGES = st.lists(
    st.tuples(st.sampled_from(["replace", "delete", "repeat", "add"]), PLACES, VALUES), min_size=1, max_size=2
)
_HOLE = "\x00hole\x00"


def paths_in(content, path=()):
    """Yield the path of every value in parsed JSON."""
    yield path
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for name, value in items:
        yield from paths_in(value, (*path, name))


def restructured(text, changes):
    """Return JSON with values replaced, deleted, repeated or added."""
    content, holes = json.loads(text), []
    for kind, place, value in changes:
        paths = [path for path in paths_in(content) if path] or [()]
        *parents, name = paths[place % len(paths)] or [None]
        if name is None:
            break
        inner = content
        for parent in parents:
            inner = inner[parent]
        if kind == "delete":
            del inner[name]
        elif kind == "add" and isinstance(inner, dict):
            inner["auto_map"] = _HOLE
            holes.append(value)
        else:
            twice = kind == "repeat" and isinstance(inner, dict)
            holes.append(f"{json.dumps(inner[name])}, {json.dumps(name)}: {value}" if twice else value)
            inner[name] = _HOLE
    head, *rest = json.dumps(content).split(json.dumps(_HOLE))
    return (head + "".join(value + part for value, part in zip(holes, rest, strict=False))).encode(
        "utf-8", "surrogatepass"
    )


def both(content):
    """Return a strategy for `content`, which is JSON, damaged as bytes or as JSON."""
    return st.one_of(
        EDITS.map(lambda edits: edited(content, edits)), CHANGES.map(lambda changes: restructured(content, changes))
    )


def set_field(content, field, value):
    """Return JSON with the dotted `field` set."""
    parsed = json.loads(content)
    *parents, name = field.split(".")
    inner = parsed
    for parent in parents:
        inner = inner[parent]
    inner[name] = value
    return json.dumps(parsed).encode()


# --- ways to read


def read_run(specimen):
    """Return the cheap ways to read a run: what `seqgen runs` and `seqgen info` do."""

    def shown():
        for directory, config in find_runs(specimen.root):
            if isinstance(config, RunError):
                raise config
            summary = summarize(directory, config)
            json.dumps([summary.model_dump(), config.model_dump()])
            str([*summary.model_dump().values(), *config.model_dump().values()])

    return RunDirectory(specimen.run).read_config, shown


def use_run(specimen, steps=0):
    """Return the expensive ways: load and sample, resume and take some steps."""

    def sample():
        assert isinstance(seqgen.load(specimen.run).generate("the", max_new_tokens=3), str)

    def resume():
        training = seqgen.train(out=specimen.run, resume=True)
        for _ in islice(training, steps):
            pass
        training.close()

    return sample, resume
