"""Compress a file by a model: its tokens, coded by arithmetic coding with the model's probabilities.

Both sides compute the same probabilities, bit for bit: the model's stepper in fp32 on a CPU, one stream, one thread.
The header has hashes of everything else that the numbers depend on, and another run or machine is refused.
"""

from __future__ import annotations

import contextlib
import hashlib
import platform
import sys
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch

from seqgen._version import __version__
from seqgen.compression.header import CompressedFile, Fingerprint, digest
from seqgen.compression.layout import Layout
from seqgen.compression.spelling import spelling_of
from seqgen.compression.stream import Stream, decode_stream, encode_stream
from seqgen.device import autocast, evaluation_mode, torch_threads
from seqgen.errors import ConfigError, RunError, TextError
from seqgen.evaluation.adaptation.adaptive import adaptive
from seqgen.evaluation.adaptation.config import Adapting
from seqgen.evaluation.predictor import Predictor, StaticPredictor
from seqgen.models.base import LanguageModel
from seqgen.models.weights import hash_tensors
from seqgen.sources.config import Unit
from seqgen.tokenizers.base import BOUNDARY, Ids, Tokenizer

THREADS = 1
"""Threads of both sides: their number changes how sums are rounded."""
PROBED = 32
"""Predictions that are hashed, to notice a machine that rounds in another way."""
Progress = Callable[[int, int], None]
"""Receives the number of tokens so far, and their total."""


class Codec:
    """Compress and decompress by a model.

    Args:
        model: any family, on a CPU; it is not changed.
        tokenizer: the tokenizer of the model.
        identity: of the run, for the header.
        unit: what a document is; None where the model does not model the ends of documents.

    Raises:
        ConfigError: the model is on another device than a CPU.
    """

    def __init__(self, model: LanguageModel, tokenizer: Tokenizer, identity: str, unit: Unit | None) -> None:
        if model.device.type != "cpu":
            raise ConfigError(
                f"device: compression runs on a CPU, and this model is on {model.device}; use device='cpu'"
            )
        self._model, self._tokenizer, self._identity, self._unit = model, tokenizer, identity, unit

    def compress(
        self,
        content: bytes,
        name: str = "the file",
        dynamic: Adapting | None = None,
        progress: Progress = lambda *_: None,
    ) -> bytes:
        """Return a file, compressed.

        Args:
            content: of the file.
            name: of the file, for messages.
            dynamic: what learns from the file while it is coded.
            progress: receives how many tokens were coded, and their total.

        Raises:
            TextError: the model cannot code this file: it is not UTF-8, or would not come back as it is.
            ConfigError: the model has nothing of what should learn, or would learn that a document ends where it is cut
                to fit the model's positions.
        """
        text = self._read(content, name)
        layout = Layout.of(text, self._unit or "file")
        ids, pieces = self._encode(layout.split(text))
        if self._join(layout, ids, pieces) != content:
            raise TextError(
                f"{name} is not in NFC, to which the tokenizer of this run normalizes, so it would not come back as it "
                "is; compress it with a run that was made by `seqgen train --normalization none`"
            )
        if dynamic is not None:
            self._check_positions(ids, name)
        with _fixed_arithmetic(self._model):
            fingerprint = self._fingerprint()
            stream = self._stream(dynamic, len(ids), progress)
            code = encode_stream(stream, ids, pieces, spelling_of(self._tokenizer))
        progress(len(ids), len(ids))
        return CompressedFile(
            dynamic=dynamic,
            layout=layout,
            fingerprint=fingerprint.to_bytes(),
            original=digest(content),
            tokens=len(ids),
            code=code,
        ).to_bytes()

    def decompress(self, content: bytes, name: str = "the file", progress: Progress = lambda *_: None) -> bytes:
        """Return the original of a compressed file; `name` is its name in messages.

        Raises:
            TextError: it is not a compressed file, or is damaged.
            RunError: it was compressed with another run or on another kind of machine.
        """
        file = CompressedFile.from_bytes(content, name)
        original = None
        with _fixed_arithmetic(self._model), contextlib.suppress(EOFError):
            self._fingerprint().check(file.fingerprint, name)
            stream = self._stream(file.dynamic, file.tokens, progress)
            ids, pieces = decode_stream(stream, file.code, file.tokens, spelling_of(self._tokenizer))
            original = self._join(file.layout, ids, pieces)
        if original is None or digest(original) != file.original:
            raise RunError(
                f"{name} could not be decompressed: the SHA-256 of what came out is not that of the original; "
                "decompress it on the machine where it was compressed"
            )
        progress(file.tokens, file.tokens)
        return original

    def _read(self, content: bytes, name: str) -> str:
        encoding = self._tokenizer.text_encoding
        try:
            return content.decode(encoding)
        except UnicodeDecodeError as error:
            raise TextError(
                f"{name} is not valid UTF-8 at byte {error.start} (0x{content[error.start]:02x}), and this run is a "
                "model of text; any file can be compressed with a run that was made by `seqgen train --encoding bytes`"
            ) from error

    def _encode(self, documents: Iterable[str]) -> tuple[Ids, list[str]]:
        """Return the ids of documents, with 0 after each where the model models ends; and what each `<unk>` is."""
        unknown, end = self._tokenizer.unknown_id, [] if self._unit is None else [np.zeros(1, np.int32)]
        parts, pieces = [np.empty(0, np.int32)], []
        for document in documents:
            ids = self._tokenizer.encode(document)
            parts += [ids, *end]
            if unknown is not None and len(places := np.flatnonzero(ids == unknown)):
                spelled = self._tokenizer.token_texts(document)
                pieces += [spelled[place] for place in places.tolist()]
        return np.concatenate(parts), pieces

    def _check_positions(self, ids: Ids, name: str) -> None:
        """Refuse to learn from documents that have to be cut, where the model models the ends of documents."""
        limit = None if self._unit is None else self._model.max_positions
        longest = int(np.diff(np.flatnonzero(ids == BOUNDARY), prepend=-1).max(initial=0))
        if limit is not None and longest > limit:
            raise ConfigError(
                f"dynamic: {name} has a document of {longest} tokens, and this model {limit} positions; leave "
                "--dynamic out"
            )

    def _join(self, layout: Layout, ids: Ids, pieces: Iterable[str]) -> bytes:
        """Return the file whose documents `_encode` gave these ids and pieces."""
        table, unknown = self._tokenizer.id_to_bytes, self._tokenizer.unknown_id
        encoding, spelled = self._tokenizer.text_encoding, iter(pieces)
        documents = [ids] if self._unit is None else np.split(ids, np.flatnonzero(ids == BOUNDARY) + 1)[:-1]
        texts = []
        for document in documents:
            parts = [next(spelled).encode() if token == unknown else table[token] for token in document.tolist()]
            texts.append(self._tokenizer.written(b"".join(parts).decode(encoding, "replace")))
        return layout.join(texts).encode(encoding)

    def _stream(self, dynamic: Adapting | None, tokens: int, progress: Progress) -> Stream:
        """Return the stream of a file of so many tokens."""
        predictor: Predictor
        if dynamic is None:
            predictor = StaticPredictor(self._model, 2 * tokens + 1)  # with boundaries, and those of cuts
        else:
            predictor = adaptive(self._model, dynamic, ends=self._unit is not None)
        return Stream(predictor, self._model.max_positions, lambda done: progress(done, tokens))

    def _fingerprint(self) -> Fingerprint:
        processor = f"{sys.platform} {platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
        return Fingerprint(
            run=self._identity,
            weights=hash_tensors(self._model.stored_tensors()),
            seqgen=__version__,
            torch=torch.__version__,
            numpy=np.__version__,
            processor=processor,
            predictions=_hash_predictions(self._model),
        )


@contextlib.contextmanager
def _fixed_arithmetic(model: LanguageModel) -> Iterator[None]:
    """Compute with one thread, in fp32, and in evaluation mode, whatever the caller has set.

    NaN and infinity are refused by the coder, so numpy need not warn of them.
    """
    quiet = np.errstate(over="ignore", invalid="ignore")
    with torch_threads(THREADS), autocast(model.device, "fp32"), evaluation_mode(model), quiet:
        yield


def _hash_predictions(model: LanguageModel) -> str:
    """Return the hash of the model's first predictions, after ids all over the vocabulary."""
    predictor, hashed = StaticPredictor(model, PROBED), hashlib.sha256()
    for number in range(min(PROBED, model.max_positions or PROBED)):
        predictor.read(number * model.vocab_size // PROBED)
        hashed.update(predictor.log_probs().data)
    return hashed.hexdigest()
