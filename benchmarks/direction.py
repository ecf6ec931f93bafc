"""The NSVGD direction beside plain broadcasting over (m, m, p), and its error against float64."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

import torch

from steinmix import NSVGD
from steinmix.random import Streams

from .harness import interleave, machine, ratios, write


def broadcast(theta: torch.Tensor, ascent: torch.Tensor) -> torch.Tensor:
    """The formula as written, with a fixed bandwidth of ten."""
    difference = theta[:, None] - theta[None]
    k = torch.exp(-difference.square().sum(-1) / 200)
    return k @ ascent + (k[..., None] * difference).sum(1) / (100 * len(theta))


def many(p: int, m: int = 30_000) -> dict[str, float]:
    """Return seconds, those of its two matrix products in blocks alone, and MiB beyond the particles, in a new process.

    The bandwidth comes from random pairs, as always above 2,000 particles.
    """
    code = f"""
import json, time, torch
from steinmix import NSVGD
from steinmix._machine import forget_peak, peak_memory_mb
torch.set_num_threads(1)
theta, ascent = torch.randn(2, {m}, {p}).unbind()
direction, right = NSVGD(1.0), torch.cat([theta, ascent, theta[:, :1]], 1)
direction(theta[:3000], ascent[:3000])
forget_peak()
before = peak_memory_mb()
start = time.perf_counter(); direction(theta, ascent); ours = time.perf_counter() - start
after = peak_memory_mb()
start = time.perf_counter()
for rows in theta.split(256):
    (rows @ theta.T) @ right
products = time.perf_counter() - start
print(json.dumps({{"m": {m}, "p": {p}, "seconds": round(ours, 2), "two products": round(products, 2),
                  "over products": round(ours / products, 2), "MiB": round(after - before, 1)}}))
"""
    found = json.loads(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)
    print(f"direction {found}")
    return found


def main(rounds: int = 5) -> None:
    """Print and record milliseconds and ratios for several m and p."""
    record = {"machine": machine(), "rounds": rounds, "runs": []}
    torch.set_num_threads(1)
    for m, p in ((10, 10), (10, 100), (64, 10), (64, 100), (1000, 10), (1000, 100)):
        generator = Streams(0).torch("particles")
        theta, ascent = (torch.randn(m, p, generator=generator) for _ in range(2))
        ours = NSVGD(1.0)
        ours.kernel.bandwidth = 10.0
        repeat = 200 if m <= 64 else 1
        variants = {
            "broadcast": lambda t=theta, a=ascent, r=repeat: [broadcast(t, a) for _ in range(r)],
            "ours": lambda t=theta, a=ascent, r=repeat, d=ours: [d(t, a) for _ in range(r)],
        }
        seconds = interleave(variants, rounds)
        exact = broadcast(theta.double(), ascent.double())
        error = float((ours(theta, ascent) - exact).abs().max() / exact.abs().max())
        row = {"m": m, "p": p, "error": error, "faster": round(ratios(seconds, "broadcast")["ours"], 2)}
        row["milliseconds"] = {k: round(1e3 * statistics.median(v) / repeat, 4) for k, v in seconds.items()}
        record["runs"].append(row)
        print(f"direction m={m} p={p}: {row['milliseconds']} ms, {row['faster']} x, relative error {error:.1e}")
    record["many"] = [many(p) for p in (10, 100)]
    write("direction", record)
