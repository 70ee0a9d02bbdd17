#!/usr/bin/env python3
"""Attention: ours and PyTorch's scaled_dot_product_attention, same data, same threads, in turn.

    bench/peers/... python bench/attention.py build/release/bench/libfrugal_bench.so

Prints the median of several runs each, the ratio, GFLOP/s over the pairs that the mask leaves, and
what ours holds beyond inputs and outputs. With one thread the clock is processor time, so that other
programs on the machine do not count; with more it is the wall."""
import argparse
import os
import ctypes
import statistics
import time

import torch
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))


def load(path):
    lib = ctypes.CDLL(path)
    lib.fr_bench_attention_new.restype = ctypes.c_void_p
    lib.fr_bench_attention_scratch.restype = ctypes.c_double
    for name in ("run", "scratch", "free"):
        getattr(lib, "fr_bench_attention_" + name).argtypes = [ctypes.c_void_p]
    return lib


class Ours:
    def __init__(self, lib, q, k, v, causal, threads):
        self.lib, self.keep = lib, (q, k, v)
        b, m, heads, dim = q.shape
        self.y = torch.zeros_like(q)
        shape = (ctypes.c_int64 * 6)(b, m, k.shape[1], heads, k.shape[2], dim)
        data = (ctypes.c_void_p * 4)(*(t.data_ptr() for t in (q, k, v, self.y)))
        self.handle = lib.fr_bench_attention_new(
            shape, int(q.dtype == torch.bfloat16), int(causal), threads, data)

    def run(self):
        assert self.lib.fr_bench_attention_run(self.handle) == 0

    def free(self):
        self.lib.fr_bench_attention_free(self.handle)


def case(lib, dtype, m, n, heads, kv, dim, causal, threads, seconds):
    q = torch.randn(1, m, heads, dim).to(dtype)
    k, v = (torch.randn(1, n, kv, dim).to(dtype) for _ in range(2))
    ours = Ours(lib, q, k, v, causal, threads)
    # PyTorch gets its own layout, [batch, heads, tokens, dim], ready made.
    tq, tk, tv = (t.transpose(1, 2).contiguous() for t in (q, k, v))
    mask = dict(is_causal=causal) if m == n else {}

    def theirs():
        return F.scaled_dot_product_attention(tq, tk, tv, enable_gqa=heads != kv, **mask)

    clock = time.thread_time if threads == 1 else time.perf_counter
    torch.set_num_threads(threads)
    ours.run()
    error = (ours.y.transpose(1, 2).float() - theirs().float()).abs().max().item()
    times = ([], [])
    start = time.perf_counter()
    while len(times[0]) < 3 or time.perf_counter() - start < seconds:
        for which, run in enumerate((ours.run, theirs)):
            t = clock()
            run()
            times[which].append(clock() - t)
    a, b = (statistics.median(t) for t in times)
    pairs = m * n if not causal else m * (m + 1) / 2 + m * (n - m)
    ops = 4.0 * dim * heads * pairs
    print(f"{str(dtype)[6:]:9} {m:6} {n:6} {heads:3}/{kv:<3} {dim:4} "
          f"{'causal' if causal else 'full':7} {threads:2}  {a * 1e3:9.3f} {b * 1e3:9.3f}  "
          f"{b / a:5.2f}  {ops / a / 1e9:7.1f} {ops / b / 1e9:7.1f}  "
          f"{lib.fr_bench_attention_scratch(ours.handle) / 1e6:7.2f}  {error:.1e}", flush=True)
    ours.free()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("lib", nargs="?",
                   default=os.path.join(HERE, "..", "build", "release", "bench", "libfrugal_bench.so"))
    p.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    p.add_argument("--tokens", type=int, nargs="*", default=[1024, 4096, 16384])
    p.add_argument("--dims", type=int, nargs="*", default=[64, 128])
    p.add_argument("--types", nargs="*", default=["float32", "bfloat16"])
    p.add_argument("--seconds", type=float, default=2.0)
    p.add_argument("--decode", action="store_true", help="few queries over a long cache")
    args = p.parse_args()
    lib = load(args.lib)
    print("type           m      n heads    dim mask    th    ours ms  torch ms  ratio  ours GF/s "
          "torch  scratch MB  max diff")
    for threads in args.threads:
        for name in args.types:
            dtype = getattr(torch, name)
            if args.decode:
                for m, heads, kv in ((1, 8, 8), (1, 32, 8), (4, 8, 8)):
                    case(lib, dtype, m, 16384, heads, kv, 128, False, threads, args.seconds)
                continue
            for dim in args.dims:
                for n in args.tokens:
                    heads = 8 if n < 4096 else 4 if n < 16384 else 2
                    for causal in (False, True):
                        case(lib, dtype, n, n, heads, heads, dim, causal, threads, args.seconds)


main()
