"""How fast one recurrent layer trains on this CPU, beside torch's own, as a share of what the machine multiplies.

    python benchmarks/layers.py --rounds 9

A row is one step, forward and backward, of one layer with E = H. Its work is that of the matrix products: forward
2 x T x B x gates x H x (E + H), and twice that backward. The share is of the rate of bf16 products of 2048 x 2048
matrices in the same round. The variants take turns within a round, and medians over the rounds are printed, so that
a burst of other work on the machine hits all of them. Freed memory is kept, as it is when seqgen trains; with
--give-back it is not, as in a script of one's own.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from seqgen.models import recurrence
from seqgen.models.recurrent import ResetBeforeGru, layer_weights
from seqgen.runtime import Precision, autocast, keep_freed_memory

CPU = torch.device("cpu")
SHAPES = [(64, 128, 512), (32, 64, 256)]  # B, T, H
KINDS: dict[str, tuple[type[nn.Module], int]] = {
    "lstm": (nn.LSTM, 4),
    "gru": (nn.GRU, 3),
    "gru-before": (ResetBeforeGru, 3),
    "rnn": (nn.RNN, 1),
}


def seconds(run: Callable[[], object], repeats: int) -> float:
    """The mean time of a call, after one that is not counted."""
    run()
    begin = time.perf_counter()
    for _ in range(repeats):
        run()
    return (time.perf_counter() - begin) / repeats


def matrix_rate() -> float:
    """bf16 products of 2048 x 2048 matrices, operations a second."""
    a, b = (torch.randn(2048, 2048).bfloat16() for _ in range(2))
    return 2 * 2048**3 / seconds(lambda: torch.mm(a, b, out=a.new_empty(2048, 2048)), 3)


def copy_rate() -> float:
    """A copy of 64 MiB, bytes read and written a second."""
    a = torch.zeros(2**26, dtype=torch.uint8)
    b = torch.zeros_like(a)
    return 2 * 2**26 / seconds(lambda: b.copy_(a), 5)


def variants(kind: str, batch_size: int, steps: int, size: int) -> dict[str, Callable[[], None]]:
    """Training steps of a layer: torch's own in fp32 and in bf16 autocast, and ours in bf16 where there is one."""
    layer = KINDS[kind][0](size, size) if kind == "gru-before" else KINDS[kind][0](size, size, batch_first=True)
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -(size**-0.5), size**-0.5)
    x = torch.randn(batch_size, steps, size, requires_grad=True)
    hidden = torch.zeros(batch_size, size)
    d_y = torch.randn(batch_size, steps, size)

    def stock() -> Tensor:
        state = hidden.unsqueeze(0)
        y: Tensor = layer(x, (state, state) if kind == "lstm" else state)[0]
        return y

    def ours() -> Tensor:
        weights = layer_weights(layer)
        if kind == "rnn":
            return recurrence.rnn(x, hidden, weights)[0]
        return recurrence.gru(x, hidden, weights, reset_before=kind == "gru-before")[0]

    def step(forward: Callable[[], Tensor], precision: Precision) -> None:
        layer.zero_grad()
        x.grad = None
        with autocast(CPU, precision):
            y = forward()
        torch.autograd.backward(y, d_y.to(y.dtype))

    found = {"torch fp32": lambda: step(stock, "fp32"), "torch bf16": lambda: step(stock, "bf16")}
    if kind != "lstm":
        found |= {"ours fp32": lambda: step(ours, "fp32"), "ours bf16": lambda: step(ours, "bf16")}
    return found


def measure(kind: str, shape: tuple[int, int, int], rounds: int) -> None:
    """Print a row for each variant of a layer."""
    batch_size, steps, size = shape
    work = 3 * 2 * steps * batch_size * KINDS[kind][1] * size * 2 * size
    runs = variants(kind, *shape)
    rates: dict[str, list[float]] = {name: [] for name in runs}
    shares: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            whole = matrix_rate()
            rates[name].append(work / seconds(run, max(1, int(2e10 / work))))
            shares[name].append(rates[name][-1] / whole)
    base = statistics.median(rates["torch fp32"])
    for name in runs:
        rate, share = statistics.median(rates[name]), statistics.median(shares[name])
        print(
            f"| {kind} | B{batch_size} T{steps} H{size} | {name} | {1000 * work / rate:.1f} | {rate / 1e9:.0f} | "
            f"{share:.2f} | {rate / base:.2f} |",
            flush=True,
        )


def main() -> None:
    """Print the machine's rates, then the table."""
    parser = argparse.ArgumentParser(description="How fast one recurrent layer trains, beside torch's own.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--give-back", action="store_true")
    arguments = parser.parse_args()
    if not arguments.give_back:
        keep_freed_memory()
    torch.set_num_threads(arguments.threads)
    products = statistics.median(matrix_rate() for _ in range(5)) / 1e9
    copies = statistics.median(copy_rate() for _ in range(5)) / 1e9
    print(f"torch {torch.__version__}, {arguments.threads} threads: bf16 products {products:.0f} GFLOP/s, ", end="")
    print(f"copies {copies:.0f} GB/s\n")
    print("| layer | shape | variant | ms | GFLOP/s | share | x torch fp32 |\n|---|---|---|---|---|---|---|")
    for shape in SHAPES:
        for kind in arguments.kinds:
            measure(kind, shape, arguments.rounds)


if __name__ == "__main__":
    main()
