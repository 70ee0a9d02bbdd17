#!/usr/bin/env python3
"""Products with weights in few bits: ours, llama.cpp's and PyTorch's, same data, same threads, in turn.

    python bench/lowbit.py [libfrugal_bench.so] [--threads 1 2] [--part gemm gemv torch] [--seconds S]
                           [--shape NxK ...]

All take rows of f32 and give rows of f32 (the last part: bf16 as well), so everyone's time holds what is
done to the rows first. llama.cpp is the one inside the package llama-cpp-python: each weight is tried in
its plain layout and in the one that it repacks weights into at load, and the faster counts. Weights are
rotated through copies of COPIES bytes in all when there are few rows, so that they come from memory.
With one thread the clock is processor time, so that other programs on the machine do not count; with
more it is the wall. Figures are medians; every peer's result is compared with a product in f64."""
import argparse
import ctypes
import os
import statistics
import time
import warnings

import numpy as np

from rivals.ggml import PERIOD, PTR, Q4_0, Q4_K, Q8_0, Ggml, GgmlLinear

HERE = os.path.dirname(os.path.abspath(__file__))
COPIES = 128 << 20  # four times the last cache of the machine where this was written


def say(text=""):
    print(text, flush=True)


# ---- ours ----


def load(path):
    lib = ctypes.CDLL(path)
    i64, i32 = ctypes.c_int64, ctypes.c_int
    lib.fr_bench_lowbit_new.restype = lib.fr_bench_lowbit_result.restype = PTR
    lib.fr_bench_lowbit_new.argtypes = [ctypes.c_char_p, i64, i64, i64, i64, i32, i32, i32, PTR, PTR]
    lib.fr_bench_lowbit_bytes.restype = ctypes.c_double
    for name in ("run", "result", "bytes", "free"):
        getattr(lib, "fr_bench_lowbit_" + name).argtypes = [PTR]
    return lib


class Ours:
    """The same as a graph of Frugal; rank: of a low-rank branch beside the weight."""

    def __init__(self, lib, form, x, w, copies, threads, rank=0):
        self.lib, (m, k), n = lib, x.shape, w.shape[0]
        self.keep, self.bf16 = (x, w), x.dtype == np.uint16
        self.handle = lib.fr_bench_lowbit_new(form.encode(), m, n, k, rank, int(self.bf16), threads, copies,
                                              x.ctypes.data, w.ctypes.data)
        if not self.handle:
            raise ValueError("no such product")
        self.shape, self.bytes = (m, n), lib.fr_bench_lowbit_bytes(self.handle)

    def run(self):
        if self.lib.fr_bench_lowbit_run(self.handle):
            raise RuntimeError("our product failed")

    def result(self):
        size = self.shape[0] * self.shape[1]
        kind = ctypes.c_uint16 if self.bf16 else ctypes.c_float
        y = (kind * size).from_address(self.lib.fr_bench_lowbit_result(self.handle))
        return floats(np.frombuffer(y, np.uint16 if self.bf16 else np.float32).reshape(self.shape))

    def free(self):
        self.lib.fr_bench_lowbit_free(self.handle)


def floats(x):
    return (x.astype(np.uint32) << 16).view(np.float32) if x.dtype == np.uint16 else x


def bf16(x):
    u = x.view(np.uint32)
    return ((u + 0x7FFF + (u >> 16 & 1)) >> 16).astype(np.uint16)


class Torch:
    """PyTorch's linear: as it is, or with the weight in oneDNN's own layout (what a frozen model uses)."""

    def __init__(self, x, w, packed):
        import torch
        import torch.nn.functional as F
        from torch.utils import mkldnn
        dtype = torch.bfloat16 if x.dtype == np.uint16 else torch.float32
        x, w = torch.from_numpy(floats(x)).to(dtype), torch.from_numpy(w).to(dtype)
        self.bytes, self.torch = 0, torch
        self.product = lambda: F.linear(x, w)
        if packed:
            layer = torch.nn.Linear(w.shape[1], w.shape[0], bias=False, dtype=dtype)
            with torch.no_grad():
                layer.weight.copy_(w)
            try:
                layer, dense = mkldnn.to_mkldnn(layer.eval(), dtype), x.to_mkldnn()
                layer(dense)
            except (RuntimeError, AssertionError) as e:
                raise ValueError("no such product") from e
            self.product = lambda: layer(dense).to_dense() if self.whole else layer(dense)
        self.whole = False

    def run(self):
        with self.torch.no_grad():
            self.product()

    def result(self):
        self.whole = True
        with self.torch.no_grad():
            y = self.product().float().numpy()
        self.whole = False
        return y

    def free(self):
        self.product = None


# ---- measuring ----


class Runner:
    def __init__(self, who, name, product):
        self.who, self.name, self.product, self.times = who, name, product, []

    @property
    def time(self):
        return statistics.median(self.times)


def clock_of(threads):
    return time.thread_time if threads == 1 else time.perf_counter


def measure(runners, threads, seconds, each):
    """Medians of runs in turn; before a turn the threads of the one before stop to spin."""
    clock, start, rounds = clock_of(threads), time.perf_counter(), 0
    while rounds < 3 or time.perf_counter() - start < seconds:
        for r in runners:
            if threads > 1:
                time.sleep(0.01)
            r.product.run()
            for _ in range(each):
                t = clock()
                r.product.run()
                r.times.append(clock() - t)
        rounds += 1


def best_layout(ggml, kind, x, w, copies, threads):
    """The fastest of the layouts that ggml has for this type, by the shorter of runs in turn. Not by the
    shortest: the clock of processor time loses most of a run now and then."""
    tried, clock = {}, clock_of(threads)
    for layout in ggml.layouts:
        try:
            tried[layout] = GgmlLinear(ggml, kind, layout, x, w, copies)
        except ValueError:  # it does not keep this type
            continue
    times = {layout: [] for layout in tried}
    for _ in range(6 if copies == 1 else 32):
        for layout, product in tried.items():
            t = clock()
            product.run()
            times[layout].append(clock() - t)
    layout = min(times, key=lambda name: sorted(times[name])[len(times[name]) // 4])
    for other, product in tried.items():
        if other != layout:
            product.free()
    return layout, tried[layout]


def copies_of(m, values):
    """Copies of a weight of about half a byte a value, when rows are few."""
    return max(1, min(64, COPIES // (values // 2))) if m <= 16 else 1


class Bench:
    def __init__(self, lib, ggml, threads, seconds):
        self.lib, self.ggml, self.threads, self.seconds = lib, ggml, threads, seconds
        peaks = (ctypes.c_double * 4)()
        lib.fr_bench_peaks(threads, peaks)
        self.int8, self.bf16, self.f32, self.read = peaks
        say(f"\n{threads} thread{'s' * (threads > 1)}; measured peaks: int8 {self.int8 / 1e9:.0f} GOP/s, bf16 "
            f"{self.bf16 / 1e9:.0f}, f32 {self.f32 / 1e9:.0f}, reading {self.read / 1e9:.1f} GB/s; "
            f"load of the machine: {os.getloadavg()[0]:.1f}")
        if threads > 1 and os.getloadavg()[0] > threads:
            say("Other programs run: the figures of peers that spin between their works are far too low.")
        if ggml:
            ggml.backend_cpu_set_n_threads(ggml.backend, threads)

    def rivals(self, m, n, k, ours, theirs):
        rng = np.random.default_rng(1)
        x = rng.standard_normal((m, k), dtype=np.float32)
        w = np.tile(rng.standard_normal((PERIOD, k), dtype=np.float32) / np.float32(k**0.5), (n // PERIOD, 1))
        copies, runners = copies_of(m, n * k), []
        for name, form, *rank in ours:
            try:
                runners.append(Runner("ours", name, Ours(self.lib, form, x, w, copies, self.threads, *rank)))
            except ValueError:
                say(f"   (ours has no {name})")
        for name, kind in theirs if self.ggml else ():
            layout, product = best_layout(self.ggml, kind, x, w, copies, self.threads)
            runners.append(Runner("llama.cpp", f"{name}, {layout}", product))
        return x, w, runners

    def table(self, m, n, k, x, w, runners, each):
        """Measures, prints a row each and frees them."""
        measure(runners, self.threads, self.seconds, each)
        few = slice(0, min(4, m))
        want = floats(x[few]).astype(np.float64) @ w.T.astype(np.float64)
        size = f"m {m}, n {n}, k {k}"
        say(f"\n{size:38}       ms    GOP/s  of int8      GB/s  of read    error")
        for r in runners:
            r.product.run()
            error = np.sqrt(np.mean((r.product.result()[few] - want)**2) / np.mean(want**2))
            ops, moved = 2.0 * m * n * k / r.time, r.product.bytes / r.time if m <= 16 else 0
            read = f"{moved / 1e9:9.1f} {moved / self.read:7.0%}" if moved else f"{'':17}"
            say(f"  {r.who:10} {r.name:24} {r.time * 1e3:9.3f} {ops / 1e9:8.1f} {ops / self.int8:8.0%} {read} "
                f"  {error:.1e}")
            r.product.free()

    def verdict(self, what, ratio, target, note=""):
        said = f", target {target:g}: {'reached' if ratio >= target else 'missed'}" if target else ""
        say(f"    {what}: {ratio:.2f} times{said}{note}")

    def gemm(self, n, k, m=512):
        ours = [("W4A8 g128", "qoq-g128"), ("W4A8 channel", "qoq-channel"), ("W8A8", "int8-channel")]
        theirs = [("Q4_0", Q4_0), ("Q4_K", Q4_K), ("Q8_0", Q8_0)]
        x, w, runners = self.rivals(m, n, k, ours, theirs)
        self.table(m, n, k, x, w, runners, 1)
        rivals = [r for r in runners if r.who != "ours"]
        if not rivals:
            return
        best = min(rivals, key=lambda r: r.time)
        limit = self.int8 / (2.0 * m * n * k / best.time)
        for r in runners:
            if r.who == "ours":
                self.verdict(f"{r.name} against {best.name}", best.time / r.time, 2,
                             f"; at the peak of this machine {limit:.2f}")

    def gemv(self, n, k):
        ours = [("W4A8 g128", "qoq-g128"), ("W4A16 g128", "uint4-z-g128")]
        theirs = [("Q4_0", Q4_0), ("Q4_K", Q4_K), ("Q8_0", Q8_0)]
        first = {}
        for m in (1, 8):
            x, w, runners = self.rivals(m, n, k, ours, theirs)
            self.table(m, n, k, x, w, runners, 20)
            rivals = [r for r in runners if r.who != "ours"]
            for r in runners:
                if r.who != "ours":
                    continue
                first.setdefault(r.name, r.time)
                if m == 8:
                    say(f"    {r.name}: m 8 takes {r.time / first[r.name]:.2f} times m 1, target below 1.5")
                best = min(rivals, key=lambda r: r.time, default=None)
                for rival in rivals:
                    if rival is best or rival is rivals[0]:
                        self.verdict(f"{r.name} against {rival.name}", rival.time / r.time,
                                     1.1 if m == 1 and rival is rivals[0] else None)

    def torch(self, n, k, m=4096):
        import torch
        warnings.filterwarnings("ignore")  # what it says about its own parts
        torch.set_num_threads(self.threads)
        rng = np.random.default_rng(1)
        f32 = rng.standard_normal((m, k), dtype=np.float32)
        w = np.tile(rng.standard_normal((PERIOD, k), dtype=np.float32) / np.float32(k**0.5), (n // PERIOD, 1))
        x, runners = bf16(f32), []
        for who, name, make in (
                ("ours", "W4A4 with branch", lambda: Ours(self.lib, "int4-g64", x, w, 1, self.threads, 32)),
                ("ours", "W4A16 g128", lambda: Ours(self.lib, "uint4-z-g128", x, w, 1, self.threads)),
                ("ours", "bf16", lambda: Ours(self.lib, "bf16", x, w, 1, self.threads)),
                ("ours", "f32", lambda: Ours(self.lib, "f32", f32, w, 1, self.threads)),
                ("PyTorch", "bf16", lambda: Torch(x, w, False)),
                ("PyTorch", "bf16, packed", lambda: Torch(x, w, True)),
                ("PyTorch", "f32", lambda: Torch(f32, w, False)),
                ("PyTorch", "f32, packed", lambda: Torch(f32, w, True))):
            try:
                runners.append(Runner(who, name, make()))
            except ValueError:
                say(f"   ({who} has no {name})")
        self.table(m, n, k, f32, w, runners, 1)
        if runners[0].name != "W4A4 with branch":
            return
        for r in runners[1:]:
            target = None if r.name.startswith("W4A16") else 1.7 if "bf16" in r.name else 3
            note = "" if target else "; published, of a GPU: 3"
            self.verdict(f"W4A4 with branch against {r.name} of {r.who}", r.time / runners[0].time, target, note)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("lib", nargs="?", default=os.path.join(HERE, "../build/release/bench/libfrugal_bench.so"))
    p.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    p.add_argument("--part", nargs="*", default=["gemm", "gemv", "torch"], choices=["gemm", "gemv", "torch"])
    p.add_argument("--shape", nargs="*", default=[], help="NxK; the sizes of the issue by default")
    p.add_argument("--seconds", type=float, default=2.0, help="of measuring, for a shape")
    args = p.parse_args()
    shapes = [tuple(int(v) for v in s.split("x")) for s in args.shape]
    if any(n % PERIOD or k % 256 for n, k in shapes):
        p.error("n and k must be multiples of 256, the largest block of llama.cpp's types")
    default = {"gemm": [(2048, 2048), (4096, 4096), (8192, 2048), (2048, 8192), (8192, 8192)],
               "gemv": [(4096, 4096), (11008, 4096), (8192, 8192)], "torch": [(3072, 3072)]}
    lib, ggml = load(os.path.abspath(args.lib)), None
    try:
        ggml = Ggml()
        say(f"llama.cpp is compiled with: {' '.join(ggml.features())}; layouts: {', '.join(ggml.layouts)}")
    except OSError as e:
        say(f"Without llama.cpp: {e}")
    for threads in args.threads:
        bench = Bench(lib, ggml, threads, args.seconds)
        for part in args.part:
            for shape in shapes or default[part]:
                getattr(bench, part)(*shape)


if __name__ == "__main__":
    main()
