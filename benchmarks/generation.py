"""Time generation, sampling included, next to what a user would pick instead.

LSTM: onnxruntime's LSTM operator in fp32, its sampling in numpy. Transformer: `generate` of `transformers` with its
cache, Llama of the same shape, in fp32. All sample at temperature 0.8 from random weights over 67 characters.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from measuring import Row, Work, race

from seqgen import models
from seqgen.device import StepperPrecision
from seqgen.generation.config import SamplingConfig
from seqgen.generation.engine import Engine
from seqgen.generation.generate import complete
from seqgen.models.base import LanguageModel, Stepper
from seqgen.models.config import LstmConfig, TransformerConfig
from seqgen.tokenizers.char import CharTokenizer
from seqgen.tokenizers.config import TokenizerConfig

CHARACTERS = "".join(chr(code) for code in range(33, 98))
VOCAB_SIZE = len(CHARACTERS) + 2
TEMPERATURE = 0.8
TOKENS = 200
LSTM = LstmConfig(hidden_size=512, embedding_size=512, layers=2)
TRANSFORMERS = {
    "128x4": TransformerConfig.of(hidden_size=128, layers=4, heads=4, block_size=64),
    "384x6": TransformerConfig.of(hidden_size=384, layers=6, heads=6, block_size=256),
}
PRECISIONS: tuple[StepperPrecision, ...] = ("fp32", "bf16", "int8")


def rows(rounds: int, threads: int) -> Iterator[Row]:
    """Yield the rows of each model, one text at a time and sixteen."""
    for batch_size in (1, 16):
        model = models.build(LSTM, VOCAB_SIZE).eval()
        yield from race(
            f"sample an lstm 2x512, batch {batch_size}",
            "token",
            _seqgen(model, batch_size),
            {"onnxruntime, fp32": _onnx_lstm(model, batch_size, threads)},
            rounds,
        )
        for name, config in TRANSFORMERS.items():
            yield from race(
                f"sample a transformer {name}, batch {batch_size}",
                "token",
                _seqgen(models.build(config, VOCAB_SIZE).eval(), batch_size),
                {"transformers, fp32": _llama(config, batch_size)},
                rounds,
            )


def _seqgen(model: LanguageModel, batch_size: int) -> dict[str, Work]:
    """Return `seqgen sample` without the screen, for each engine and precision."""
    tokenizer = CharTokenizer.train([CHARACTERS], TokenizerConfig())
    config = SamplingConfig(max_new_tokens=TOKENS, temperature=TEMPERATURE)

    def sample(stepper: Stepper) -> Work:
        def work() -> float:
            made = complete(Engine(model, stepper, tokenizer), [""], config, batch_size)
            return sum(completion.tokens for completion in made)

        return work

    return {
        **{f"seqgen {precision}": sample(model.stepper(precision)) for precision in PRECISIONS},
        **{f"seqgen {precision}, numba": sample(model.stepper(precision, "numba")) for precision in PRECISIONS},
    }


def _onnx_lstm(model: LanguageModel, batch_size: int, threads: int) -> Work:
    """Return an ONNX session that reads one token per call; numpy samples."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(_lstm_graph(model), options, providers=["CPUExecutionProvider"])
    names = [member.name for member in session.get_inputs()][1:]
    generator = np.random.default_rng(0)

    def work() -> float:
        state = [np.zeros((1, batch_size, LSTM.hidden_size), np.float32) for _ in names]
        token = np.ones((1, batch_size), np.int64)
        for _ in range(TOKENS):
            logits, *state = session.run(None, {"token": token, **dict(zip(names, state, strict=True))})
            heights = np.exp((logits[0] - logits[0].max(-1, keepdims=True)) / TEMPERATURE).cumsum(-1, dtype=np.float64)
            drawn = (heights <= generator.random((batch_size, 1)) * heights[:, -1:]).sum(-1)
            token = drawn[None].astype(np.int64)
        return batch_size * TOKENS

    return work


def _lstm_graph(model: LanguageModel) -> bytes:
    """Return embedding, two residual LSTM operators and head, as ONNX."""
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


def _llama(config: TransformerConfig, batch_size: int) -> Work:
    """Return the `generate` of `transformers` with a Llama of the same shape."""
    import transformers

    model = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=VOCAB_SIZE, hidden_size=config.hidden_size, num_hidden_layers=config.layers,
            num_attention_heads=config.heads, num_key_value_heads=config.heads,
            intermediate_size=32 * -(-8 * config.hidden_size // 96), max_position_embeddings=4096,
            bos_token_id=0, eos_token_id=None, pad_token_id=0,
        )
    ).eval()  # fmt: skip
    prompt = torch.zeros(batch_size, 1, dtype=torch.int64)

    def work() -> float:
        with torch.no_grad():
            model.generate(
                prompt, attention_mask=torch.ones_like(prompt), do_sample=True, temperature=TEMPERATURE, top_k=0,
                min_new_tokens=TOKENS, max_new_tokens=TOKENS, use_cache=True,
            )  # fmt: skip
        return batch_size * TOKENS

    return work
