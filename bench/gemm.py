#!/usr/bin/env python3
"""Linears: ours and PyTorch's (oneDNN for bf16, MKL or oneDNN for f32), same data, same threads, in turn.

    python bench/gemm.py [libfrugal_bench.so] [--threads 1 2] [--dtype bf16 f32] [--seconds S]

Both get the weight as [n, k]; ours is packed ahead, PyTorch's too in the second column of its figures
(torch.utils.mkldnn, which a frozen model uses). With one thread the clock is processor time, so that
other programs on the machine do not count; with more it is the wall. Figures are the shortest of the
runs; "ratio" is the better of PyTorch's times over ours: above 1 we are faster."""
import argparse
import ctypes
import os
import time

import torch
import torch.nn.functional as F
from torch.utils import mkldnn

HERE = os.path.dirname(os.path.abspath(__file__))


def load(path):
    lib = ctypes.CDLL(path)
    i64, i32, ptr = ctypes.c_int64, ctypes.c_int, ctypes.c_void_p
    lib.fr_bench_linear_new.restype = ptr
    lib.fr_bench_linear_new.argtypes = [i64, i64, i64, i32, i32, ptr, ptr, ptr]
    lib.fr_bench_linear_run.argtypes = [ptr]
    lib.fr_bench_linear_free.argtypes = [ptr]
    return lib


def prepacked(w, x):
    """PyTorch's linear over a weight in oneDNN's own layout, or None."""
    layer = torch.nn.Linear(w.shape[1], w.shape[0], bias=False, dtype=w.dtype)
    with torch.no_grad():
        layer.weight.copy_(w)
    try:
        packed = mkldnn.to_mkldnn(layer.eval(), w.dtype)
        dense = x.to_mkldnn()
        packed(dense)
        return lambda: packed(dense)
    except (RuntimeError, AssertionError):
        return None


def case(lib, dtype, m, n, k, threads, seconds):
    torch.manual_seed(1)
    x, w = torch.randn(m, k).to(dtype), (torch.randn(n, k) / k**0.5).to(dtype)
    y = torch.zeros(m, n, dtype=dtype)
    ours = lib.fr_bench_linear_new(m, n, k, int(dtype == torch.bfloat16), threads, x.data_ptr(),
                                   w.data_ptr(), y.data_ptr())
    torch.set_num_threads(threads)
    with torch.no_grad():
        runs = [lambda: lib.fr_bench_linear_run(ours), lambda: F.linear(x, w), prepacked(w, x)]
        error = 0.0
        runs[0]()
        error = (y.float() - F.linear(x, w).float()).abs().max().item()
        clock = time.thread_time if threads == 1 else time.perf_counter
        best = [float("inf")] * 3
        start = time.perf_counter()
        rounds = 0
        while rounds < 3 or time.perf_counter() - start < seconds:
            for which, run in enumerate(runs):
                if run is None:
                    continue
                if threads > 1:
                    time.sleep(0.01)  # the threads of the other library stop to spin
                run()
                for _ in range(3):
                    t = clock()
                    run()
                    best[which] = min(best[which], clock() - t)
            rounds += 1
    lib.fr_bench_linear_free(ours)
    ops = 2.0 * m * n * k
    print(f"{str(dtype)[6:]:9} {m:5} {n:5} {k:5} {threads:2}  "
          + " ".join(f"{ops / t / 1e9:8.1f}" for t in best)
          + f"  {min(best[1:]) / best[0]:5.2f}  {error:.1e}", flush=True)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("lib", nargs="?",
                   default=os.path.join(HERE, "../build/release/bench/libfrugal_bench.so"))
    p.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    p.add_argument("--dtype", nargs="*", default=["bf16", "f32"])
    p.add_argument("--seconds", type=float, default=1.0)
    args = p.parse_args()
    lib = load(os.path.abspath(args.lib))
    print(f"{'':9} {'m':>5} {'n':>5} {'k':>5} {'t':>2}  {'ours':>8} {'torch':>8} {'packed':>8}  ratio  error"
          "   (GFLOP/s)")
    types = {"bf16": torch.bfloat16, "f32": torch.float32}
    for threads in args.threads:
        for name in args.dtype:
            for n, k in ((1024, 1024), (4096, 1024), (1024, 4096), (4096, 4096), (8192, 8192)):
                for m in (1, 16, 128, 1024):
                    case(lib, types[name], m, n, k, threads, args.seconds)


if __name__ == "__main__":
    main()
