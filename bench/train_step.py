#!/usr/bin/env python3
"""A training step of a Llama (width 256, 4 layers, 8 heads on 2, vocabulary 1024, 16 x 256 tokens): ours against PyTorch.

Same weights, data, clipping, AdamW and threads. Steps are interleaved in one process, and the losses are compared,
so that all do the same work. Medians of the time of a step and the median of the paired ratios; with other work on
the machine the shortest step says more. One thread is timed by processor time, more by the clock. bf16: ours keeps weights, activations and gradients in bf16 and masters in
f32; PyTorch once with torch.autocast over f32 weights, once with everything in bf16 (no masters).

    python bench/train_step.py [--threads 1,2] [--steps N] [--types f32,bf16] [--nodes] [--lib PATH]

--nodes instead prints where our time goes, node by node.
"""
import argparse
import contextlib
import ctypes
import math
import os
import statistics
import time

import numpy as np

here = os.path.dirname(os.path.abspath(__file__))
args = argparse.ArgumentParser()
args.add_argument("--threads", default=",".join(str(n) for n in sorted({1, os.cpu_count()})), help="1,2: one after another")
args.add_argument("--steps", type=int, default=7)
args.add_argument("--types", default="f32,bf16")
args.add_argument("--nodes", action="store_true")
args.add_argument("--recompute", action="store_true")
args.add_argument("--lib", default=os.path.join(here, "..", "build", "release", "bench", "libfrugal_bench.so"))
args = args.parse_args()

C = dict(vocab=1024, width=256, hidden=768, layers=4, heads=8, kv_heads=2, batch=16, tokens=256)
FIELDS = list(C) + ["half", "recompute", "threads"]


class Config(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int32) for name in FIELDS]


lib = ctypes.CDLL(args.lib)
lib.fr_bench_train_new.restype = ctypes.c_void_p
lib.fr_bench_train_step.restype = ctypes.c_float
lib.fr_bench_train_norm.restype = ctypes.c_float
lib.fr_bench_train_ops.restype = ctypes.c_double
lib.fr_bench_train_arena.restype = ctypes.c_size_t


def new_ours(kind, threads):
    c = dict(C, half=kind != "f32", recompute=args.recompute, threads=threads)
    ours = lib.fr_bench_train_new(ctypes.byref(Config(*(c[f] for f in FIELDS))))
    if not ours:
        raise SystemExit(1)
    return ctypes.c_void_p(ours)


def batch(rng):
    data = rng.integers(0, C["vocab"], (C["batch"], C["tokens"] + 1)).astype(np.int32)
    return np.ascontiguousarray(data[:, :-1]), np.ascontiguousarray(data[:, 1:])


def step_ours(ours, ids, target):
    return lib.fr_bench_train_step(ours, ids.ctypes.data_as(ctypes.c_void_p), target.ctypes.data_as(ctypes.c_void_p))


def print_nodes(kind, threads):
    clock = time.process_time if threads == 1 else time.perf_counter
    ours, rng = new_ours(kind, threads), np.random.default_rng(1)
    lib.fr_bench_train_time_nodes(ours)
    times = []
    for _ in range(args.steps + 2):
        start = clock()
        step_ours(ours, *batch(rng))
        times.append(clock() - start)
    print(f"{kind}, {threads} threads: {min(times) * 1e3:.1f} ms the shortest step, arena "
          f"{lib.fr_bench_train_arena(ours) / 1e6:.0f} MB, products {lib.fr_bench_train_ops(ours) / 1e9:.1f} G operations",
          flush=True)
    lib.fr_bench_train_print_times(ours)


def torch_side(threads):
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(threads)
    torch.manual_seed(1)

    class Model(torch.nn.Module):
        """The quickest plain PyTorch that we know: fused attention, merged projections."""

        def __init__(self, c):
            super().__init__()
            d, h, kv = c["width"], c["hidden"], c["width"] // c["heads"] * c["kv_heads"]
            w = lambda r, k: torch.nn.Parameter(0.02 * torch.randn(r, k))
            one = lambda: torch.nn.Parameter(torch.ones(d))
            self.c = c
            self.embed = w(c["vocab"], d)
            self.norm = one()
            self.layers = torch.nn.ParameterList()
            for _ in range(c["layers"]):
                self.layers.append(torch.nn.ParameterDict(dict(
                    norm1=one(), norm2=one(), qkv=w(d + 2 * kv, d), o=w(d, d), gate_up=w(2 * h, d), down=w(d, h))))
            each = d // c["heads"]
            inv = 1.0 / (10000 ** (torch.arange(0, each, 2, dtype=torch.float64) / each))
            angle = torch.arange(c["tokens"], dtype=torch.float64)[:, None] * inv
            self.register_buffer("cos", angle.cos().float()[None, :, None], False)
            self.register_buffer("sin", angle.sin().float()[None, :, None], False)

        def rope(self, x):
            a, b = x.chunk(2, -1)
            return torch.cat([a * self.cos - b * self.sin, b * self.cos + a * self.sin], -1).to(x.dtype)

        def forward(self, ids, target):
            c = self.c
            b, t, d, n, kv = c["batch"], c["tokens"], c["width"], c["heads"], c["kv_heads"]
            x = F.embedding(ids, self.embed)
            for p in self.layers:
                y = F.rms_norm(x, (d,), p["norm1"], 1e-5)
                q, k, v = F.linear(y, p["qkv"]).view(b, t, n + 2 * kv, d // n).split([n, kv, kv], 2)
                q, k, v = (z.transpose(1, 2) for z in (self.rope(q), self.rope(k), v))
                # Keys and values repeated: the quick kernel takes no groups on this side.
                k, v = (z.repeat_interleave(n // kv, 1) for z in (k, v))
                a = F.scaled_dot_product_attention(q, k, v, is_causal=True)
                x = x + F.linear(a.transpose(1, 2).reshape(b, t, d), p["o"])
                g, u = F.linear(F.rms_norm(x, (d,), p["norm2"], 1e-5), p["gate_up"]).chunk(2, -1)
                x = x + F.linear(F.silu(g) * u, p["down"])
            logits = F.linear(F.rms_norm(x, (d,), self.norm, 1e-5), self.embed)
            return F.cross_entropy(logits.view(-1, c["vocab"]), target.view(-1))

        def named(self):
            """Our names (those of Hugging Face)."""
            d, h = C["width"], C["hidden"]
            kv = d // C["heads"] * C["kv_heads"]
            out = {"model.embed_tokens.weight": self.embed, "model.norm.weight": self.norm}
            for i, p in enumerate(self.layers):
                n = f"model.layers.{i}."
                out[n + "input_layernorm.weight"] = p["norm1"]
                out[n + "post_attention_layernorm.weight"] = p["norm2"]
                for name, w in zip("qkv", p["qkv"].split([d, kv, kv])):
                    out[n + f"self_attn.{name}_proj.weight"] = w
                out[n + "self_attn.o_proj.weight"], out[n + "mlp.down_proj.weight"] = p["o"], p["down"]
                out[n + "mlp.gate_proj.weight"], out[n + "mlp.up_proj.weight"] = p["gate_up"].split(h)
            return {k: np.ascontiguousarray(v.detach().float().numpy()) for k, v in out.items()}

    class Theirs:
        def __init__(self, first, kind):
            self.model = Model(C)
            self.model.load_state_dict(first.state_dict())
            if kind == "pure bf16":
                self.model = self.model.bfloat16()
            self.cast = torch.autocast("cpu", torch.bfloat16) if kind == "autocast" else contextlib.nullcontext()
            self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=0.1,
                                               fused=True)

        def step(self, ids, target):
            self.optimizer.zero_grad()
            with self.cast:
                loss = self.model(ids, target)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            return loss.item()

    return torch, Model, Theirs


def compare(kind, threads):
    clock = time.process_time if threads == 1 else time.perf_counter
    torch, Model, Theirs = torch_side(threads)
    first, rng, ours = Model(C), np.random.default_rng(1), new_ours(kind, threads)
    for name, value in first.named().items():
        if lib.fr_bench_train_weight(ours, name.encode(), value.ctypes.data_as(ctypes.c_void_p)):
            raise SystemExit(f"our model refused the weight {name}")
    theirs = {k: Theirs(first, k) for k in (["torch f32"] if kind == "f32" else ["autocast", "pure bf16"])}
    times, losses = {k: [] for k in ["ours", *theirs]}, {k: [] for k in ["ours", *theirs]}
    for i in range(args.steps + 2):
        ids, target = batch(rng)
        a, b = torch.from_numpy(ids).long(), torch.from_numpy(target).long()
        for who in times:
            start = clock()
            loss = step_ours(ours, ids, target) if who == "ours" else theirs[who].step(a, b)
            if i >= 2:
                times[who].append(clock() - start)
            losses[who].append(loss)
        if i < 3:
            most = 1e-4 if kind == "f32" else 1e-2
            if any(abs(losses[k][i] - losses["ours"][i]) > most * losses["ours"][i] for k in losses):
                raise SystemExit(f"the losses of step {i} differ: {losses}")
    tokens, ops = C["batch"] * C["tokens"], lib.fr_bench_train_ops(ours)
    print(f"{kind}, {threads} threads, torch {torch.__version__}, products {ops / 1e9:.1f} G operations a step, "
          f"arena {lib.fr_bench_train_arena(ours) / 1e6:.0f} MB, {args.steps} steps each in turn")
    for who, t in times.items():
        line = f"  {who:10} {tokens / statistics.median(t):8.0f} tokens/s  {statistics.median(t) * 1e3:7.1f} ms " \
               f"(shortest {min(t) * 1e3:7.1f})  {ops / statistics.median(t) / 1e9:6.1f} GFLOP/s " \
               f"(most {ops / min(t) / 1e9:6.1f})"
        if who != "ours":
            line += f"  ours is {statistics.median(b / a for a, b in zip(times['ours'], t)):.2f} times as fast " \
                    f"(shortest: {min(t) / min(times['ours']):.2f})"
        print(line, flush=True)
    print("  losses, the first three and the last: " + ", ".join(f"{k} " + " ".join(f"{x:.4f}" for x in [*v[:3], v[-1]]) for k, v in losses.items()))


for threads in args.threads.split(","):
    for kind in args.types.split(","):
        (print_nodes if args.nodes else compare)(kind, int(threads))
