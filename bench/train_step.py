#!/usr/bin/env python3
"""Training step of a 4-layer transformer (dim 256, 256 tokens, batch 16): ours against PyTorch.

Same weights, data, AdamW and threads; steps interleaved in one process; medians and the ratio.

    python bench/train_step.py [--threads N] [--steps N] [--lib build/release/bench/libfrugal_bench.so]
"""
import argparse
import ctypes
import math
import os
import statistics
import time

import numpy as np
import torch
import torch.nn.functional as F

here = os.path.dirname(os.path.abspath(__file__))
args = argparse.ArgumentParser()
args.add_argument("--threads", type=int, default=os.cpu_count())
args.add_argument("--steps", type=int, default=7)
args.add_argument("--lib", default=os.path.join(here, "..", "build", "release", "bench", "libfrugal_bench.so"))
args = args.parse_args()
torch.set_num_threads(args.threads)
torch.manual_seed(1)

C = dict(vocab=1024, dim=256, layers=4, heads=4, kv_heads=4, hidden=704, batch=16, tokens=256)
FIELDS = ["vocab", "dim", "layers", "heads", "kv_heads", "hidden", "batch", "tokens"]


class Config(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int) for name in FIELDS]


class Model(torch.nn.Module):
    """The quickest plain PyTorch that we know: fused attention, merged projections."""

    def __init__(self, c):
        super().__init__()
        d, h = c["dim"], c["hidden"]
        w = lambda r, k: torch.nn.Parameter(torch.randn(r, k) / math.sqrt(k))
        self.c = c
        self.embed = w(c["vocab"], d)
        self.head = w(c["vocab"], d)
        self.norm = torch.nn.Parameter(torch.ones(d))
        self.layers = torch.nn.ParameterList()
        for _ in range(c["layers"]):
            self.layers.append(torch.nn.ParameterDict(dict(
                norm1=torch.nn.Parameter(torch.ones(d)), norm2=torch.nn.Parameter(torch.ones(d)), qkv=w(3 * d, d),
                o=w(d, d), gate_up=w(2 * h, d), down=w(d, h))))
        each = d // c["heads"]
        inv = 1.0 / (10000 ** (torch.arange(0, each, 2, dtype=torch.float64) / each))
        angle = torch.arange(c["tokens"], dtype=torch.float64)[:, None] * inv
        self.cos, self.sin = angle.cos().float()[None, :, None], angle.sin().float()[None, :, None]

    def rope(self, x):
        a, b = x.chunk(2, -1)
        return torch.cat([a * self.cos - b * self.sin, b * self.cos + a * self.sin], -1)

    def forward(self, ids, target):
        c = self.c
        b, t, d, n = c["batch"], c["tokens"], c["dim"], c["heads"]
        x = F.embedding(ids, self.embed)
        for p in self.layers:
            y = F.rms_norm(x, (d,), p["norm1"], 1e-5)
            q, k, v = (F.linear(y, p["qkv"]).view(b, t, 3 * n, d // n)).chunk(3, 2)
            q, k = self.rope(q), self.rope(k)
            a = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), is_causal=True)
            x = x + F.linear(a.transpose(1, 2).reshape(b, t, d), p["o"])
            g, u = F.linear(F.rms_norm(x, (d,), p["norm2"], 1e-5), p["gate_up"]).chunk(2, -1)
            x = x + F.linear(F.silu(g) * u, p["down"])
        logits = F.linear(F.rms_norm(x, (d,), self.norm, 1e-5), self.head)
        return F.cross_entropy(logits.view(-1, c["vocab"]), target.view(-1))


def weights(model):
    """Our names."""
    d, h = C["dim"], C["hidden"]
    out = dict(embed=model.embed, head=model.head, norm=model.norm)
    for i, p in enumerate(model.layers):
        n = f"layers.{i}."
        out[n + "norm1"], out[n + "norm2"] = p["norm1"], p["norm2"]
        out[n + "q"], out[n + "k"], out[n + "v"] = p["qkv"].split(d)
        out[n + "o"], out[n + "down"] = p["o"], p["down"]
        out[n + "gate"], out[n + "up"] = p["gate_up"].split(h)
    return {k: np.ascontiguousarray(v.detach().numpy()) for k, v in out.items()}


lib = ctypes.CDLL(args.lib)
lib.fr_bench_train_new.restype = ctypes.c_void_p
lib.fr_bench_train_step.restype = ctypes.c_float
lib.fr_bench_train_ops.restype = ctypes.c_double
lib.fr_bench_train_arena.restype = ctypes.c_size_t
ours = ctypes.c_void_p(lib.fr_bench_train_new(ctypes.byref(Config(*(C[f] for f in FIELDS))), args.threads))
model = Model(C)
for name, value in weights(model).items():
    if lib.fr_bench_train_weight(ours, name.encode(), value.ctypes.data_as(ctypes.c_void_p)):
        raise SystemExit(f"our model refused the weight {name}")
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=0.1, fused=True)


def step_theirs(ids, target):
    optimizer.zero_grad()
    loss = model(ids, target)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss.item()


times = {"ours": [], "torch": []}
for i in range(args.steps + 2):
    data = torch.randint(0, C["vocab"], (C["batch"], C["tokens"] + 1))
    ids, target = data[:, :-1].contiguous(), data[:, 1:].contiguous()
    a, b = ids.to(torch.int32).numpy().copy(), target.to(torch.int32).numpy().copy()
    start = time.perf_counter()
    mine = lib.fr_bench_train_step(ours, a.ctypes.data_as(ctypes.c_void_p), b.ctypes.data_as(ctypes.c_void_p))
    middle = time.perf_counter()
    theirs = step_theirs(ids, target)
    end = time.perf_counter()
    if i == 0 and abs(mine - theirs) > 1e-3 * theirs:
        raise SystemExit(f"the first losses differ: {mine} and {theirs}")
    if i >= 2:
        times["ours"].append(middle - start)
        times["torch"].append(end - middle)
tokens = C["batch"] * C["tokens"]
mine, theirs = (statistics.median(times[k]) for k in ("ours", "torch"))
ratio = statistics.median(t / o for o, t in zip(times["ours"], times["torch"]))
ops = lib.fr_bench_train_ops(ours)
print(f"threads {args.threads}, torch {torch.__version__}, {ops / 1e9:.1f} G operations a step, "
      f"arena {lib.fr_bench_train_arena(ours) / 1e6:.0f} MB")
print(f"ours   {tokens / mine:9.0f} tokens/s  {mine * 1e3:8.1f} ms  {ops / mine / 1e9:7.1f} GFLOP/s")
print(f"torch  {tokens / theirs:9.0f} tokens/s  {theirs * 1e3:8.1f} ms")
print(f"ratio  {ratio:.2f} times PyTorch")
