"""How fast text is made on this CPU, beside what a user would pick instead: sampling included, same threads.

    pip install -e '.[bench]' && python benchmarks/decoding.py --rounds 5

LSTM: onnxruntime's LSTM operator in fp32, its sampling in numpy. Transformer: `generate` of `transformers` with its
cache, Llama of the same shape, in fp32. All sample at temperature 0.8 from random weights over 67 characters. The
variants take turns within a round; medians over the rounds are printed.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from seqgen import models
from seqgen.decoding.config import SamplingConfig
from seqgen.decoding.generate import generate
from seqgen.models.config import LstmConfig, TransformerConfig
from seqgen.models.language_model import LanguageModel
from seqgen.tokenizers.char import CharTokenizer
from seqgen.tokenizers.config import TokenizerConfig

CHARACTERS = "".join(chr(code) for code in range(33, 99))
TEMPERATURE = 0.8
LSTM = LstmConfig(hidden_size=512, embedding_size=512, layers=2)
TRANSFORMERS = {
    "128x4": TransformerConfig(hidden_size=128, layers=4, heads=4, block_size=64),
    "384x6": TransformerConfig(hidden_size=384, layers=6, heads=6, block_size=256),
}
PRECISIONS = ("fp32", "bf16", "int8")

Run = Callable[[int], object]
"""Makes so many tokens of each row."""


def ours(model: LanguageModel, precision: str, rows: int) -> Run:
    """`seqgen sample` without the screen."""
    tokenizer = CharTokenizer.train([CHARACTERS], TokenizerConfig())
    decoder = model.decoder(precision)  # type: ignore[arg-type]

    def run(tokens: int) -> None:
        config = SamplingConfig(max_new_tokens=tokens, temperature=TEMPERATURE)
        for _ in generate(model, decoder, tokenizer, "", config, rows):
            pass

    return run


def onnx_lstm(model: LanguageModel, rows: int, threads: int) -> Run:
    """A session that reads a token and a state a call, and numpy that draws."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(lstm_graph(model), options, providers=["CPUExecutionProvider"])
    names = [member.name for member in session.get_inputs()][1:]
    generator = np.random.default_rng(0)

    def run(tokens: int) -> None:
        state = [np.zeros((1, rows, LSTM.hidden_size), np.float32) for _ in names]
        token = np.ones((1, rows), np.int64)
        for _ in range(tokens):
            logits, *state = session.run(None, {"token": token, **dict(zip(names, state, strict=True))})
            heights = np.exp((logits[0] - logits[0].max(-1, keepdims=True)) / TEMPERATURE).cumsum(-1, dtype=np.float64)
            drawn = (heights <= generator.random((rows, 1)) * heights[:, -1:]).sum(-1)
            token = drawn[None].astype(np.int64)

    return run


def lstm_graph(model: LanguageModel) -> bytes:
    """Embedding, two LSTM operators, the second's output added to the first's, head: as onnx."""
    from onnx import TensorProto, helper, numpy_helper

    size, constants, nodes = LSTM.hidden_size, [], []

    def constant(name: str, value: np.ndarray[Any, Any]) -> str:
        constants.append(numpy_helper.from_array(value.astype(np.float32), name))
        return name

    weights = {name: tensor.detach().numpy() for name, tensor in model.named_parameters()}
    order = [0, 3, 1, 2]  # torch's input, forget, candidate, output; onnx's input, output, forget, candidate

    def reorder(value: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.concatenate([np.split(value, 4)[gate] for gate in order])

    nodes.append(helper.make_node("Gather", [constant("table", weights["embedding.weight"]), "token"], ["x0"]))
    inputs = [helper.make_tensor_value_info("token", TensorProto.INT64, [1, None])]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, None, model.vocab_size])]
    for depth in range(LSTM.layers):
        of = {name: reorder(weights[f"layers.{depth}.{name}_l0"]) for name in ("weight_ih", "weight_hh")}
        biases = np.concatenate([reorder(weights[f"layers.{depth}.bias_{kind}_l0"]) for kind in ("ih", "hh")])
        fixed = [constant(f"w{depth}", of["weight_ih"][None]), constant(f"r{depth}", of["weight_hh"][None])]
        fixed += [constant(f"b{depth}", biases[None]), ""]
        begin, end = [f"h{depth}", f"c{depth}"], [f"h{depth}_next", f"c{depth}_next"]
        nodes.append(helper.make_node("LSTM", [f"x{depth}", *fixed, *begin], [f"y{depth}", *end], hidden_size=size))
        nodes.append(helper.make_node("Squeeze", [f"y{depth}", "axis"], [f"s{depth}"]))
        nodes.append(
            helper.make_node("Add", [f"s{depth}", f"x{depth}"], [f"x{depth + 1}"])
            if depth
            else helper.make_node("Identity", [f"s{depth}"], [f"x{depth + 1}"])
        )
        for kind in "hc":
            inputs.append(helper.make_tensor_value_info(f"{kind}{depth}", TensorProto.FLOAT, [1, None, size]))
            outputs.append(helper.make_tensor_value_info(f"{kind}{depth}_next", TensorProto.FLOAT, [1, None, size]))
    constants.append(numpy_helper.from_array(np.array([1], np.int64), "axis"))
    nodes.append(helper.make_node("MatMul", [f"x{LSTM.layers}", constant("head", weights["head.weight"].T)], ["sums"]))
    nodes.append(helper.make_node("Add", ["sums", constant("bias", weights["head.bias"])], ["logits"]))
    graph = helper.make_graph(nodes, "lstm", inputs, outputs, constants)
    onnx_model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content: bytes = onnx_model.SerializeToString()
    return content


def llama(config: TransformerConfig, vocab_size: int, rows: int) -> Run:
    """`transformers`' Llama of the same shape, by its own `generate`."""
    import transformers

    model = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=vocab_size, hidden_size=config.hidden_size, num_hidden_layers=config.layers,
            num_attention_heads=config.heads, num_key_value_heads=config.heads,
            intermediate_size=32 * -(-8 * config.hidden_size // 96), max_position_embeddings=4096,
            bos_token_id=0, eos_token_id=None, pad_token_id=0,
        )
    ).eval()  # fmt: skip
    prompt = torch.zeros(rows, 1, dtype=torch.int64)

    def run(tokens: int) -> None:
        with torch.no_grad():
            model.generate(
                prompt, attention_mask=torch.ones_like(prompt), do_sample=True, temperature=TEMPERATURE, top_k=0,
                min_new_tokens=tokens, max_new_tokens=tokens, use_cache=True,
            )  # fmt: skip

    return run


def measure(name: str, runs: dict[str, Run], rows: int, tokens: int, rounds: int) -> None:
    """Print a line a variant: tokens a second, and how many times the first one's."""
    rates: dict[str, list[float]] = {variant: [] for variant in runs}
    for run in runs.values():
        run(10)
    for _ in range(rounds):
        for variant, run in runs.items():
            began = time.perf_counter()
            run(tokens)
            rates[variant].append(rows * tokens / (time.perf_counter() - began))
    peer = next(iter(rates))
    for variant, found in rates.items():
        ratio = statistics.median(mine / theirs for mine, theirs in zip(found, rates[peer], strict=True))
        print(f"| {name} | {rows} | {variant} | {statistics.median(found):,.0f} | {ratio:.2f} |", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="How fast text is made, beside what a user would pick instead.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=250)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", choices=["lstm", *TRANSFORMERS])
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    print("| model | rows | variant | tokens/s | x peer |\n|---|---|---|---|---|")
    vocab_size = len(CHARACTERS) + 2
    for rows in (1, 16):
        if given.only in {None, "lstm"}:
            model = models.build(LSTM, vocab_size).eval()
            runs = {"onnxruntime fp32": onnx_lstm(model, rows, given.threads)}
            runs |= {f"seqgen {precision}": ours(model, precision, rows) for precision in PRECISIONS}
            measure("lstm 2x512", runs, rows, given.tokens, given.rounds)
        for name, config in TRANSFORMERS.items():
            if given.only in {None, name}:
                model = models.build(config, vocab_size).eval()
                runs = {"transformers fp32": llama(config, vocab_size, rows)}
                runs |= {f"seqgen {precision}": ours(model, precision, rows) for precision in PRECISIONS}
                measure(f"transformer {name}", runs, rows, given.tokens, given.rounds)


if __name__ == "__main__":
    main()
