#!/usr/bin/env python3
"""Convolution and its neighbours: ours and PyTorch's (oneDNN, channels_last), same data, same
threads, in turn.

    python bench/conv.py [libfrugal_bench.so]

Shapes are those of image models of the SANA kind and of its autoencoder. Prints the median of
several runs each, the ratio (over 1: ours is faster), GFLOP/s and, for what only moves values,
GB/s read and written. With one thread the clock is processor time, so that other programs on the
machine do not count; with more it is the wall."""
import argparse
import ctypes
import os
import statistics
import time

import torch
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
SILU = 3


def load(path):
    lib = ctypes.CDLL(path)
    lib.fr_bench_conv_new.restype = ctypes.c_void_p
    lib.fr_bench_conv_scratch.restype = ctypes.c_double
    for name in ("run", "scratch", "free"):
        getattr(lib, "fr_bench_conv_" + name).argtypes = [ctypes.c_void_p]
    return lib


def ints(kind, values):
    return (kind * len(values))(*values)


def pointer(t):
    return t.data_ptr() if t is not None else None


class Ours:
    """One operator on channels-last tensors."""

    def __init__(self, lib, op, x, w, third, y, form, threads):
        self.lib, self.keep = lib, (x, w, third, y)
        data = (ctypes.c_void_p * 4)(*(pointer(t) for t in (x, w, third, y)))
        self.handle = lib.fr_bench_conv_new(
            op.encode(), ints(ctypes.c_int64, list(x.shape)),
            ints(ctypes.c_int64, list(w.shape)) if w is not None else None,
            ints(ctypes.c_int32, list(form) + [0] * (8 - len(form))),
            int(x.dtype == torch.bfloat16), threads, data)
        assert self.handle, op

    def run(self):
        assert self.lib.fr_bench_conv_run(self.handle) == 0

    def free(self):
        self.lib.fr_bench_conv_free(self.handle)


def measure(ours, theirs, threads, seconds):
    clock = time.thread_time if threads == 1 else time.perf_counter
    times = ([], [])
    start = time.perf_counter()
    while len(times[0]) < 5 or time.perf_counter() - start < seconds:
        for which, run in enumerate((ours, theirs)):
            t = clock()
            run()
            times[which].append(clock() - t)
    return (statistics.median(t) for t in times)


def show(name, dtype, threads, a, b, ops, moved, error):
    print(f"{name:34} {str(dtype)[6:]:9} {threads:2}  {a * 1e3:9.3f} {b * 1e3:9.3f}  {b / a:6.2f}  "
          f"{ops / a / 1e9:7.1f} {ops / b / 1e9:7.1f}  {moved / a / 1e9:6.1f}  {error:.1e}", flush=True)


def last(t):
    """The tensor of PyTorch [n, c, h, w] that lies over our [n, h, w, c]."""
    return t.permute(0, 3, 1, 2)


def conv(lib, name, dtype, threads, seconds, size, c, o, k, stride=1, groups=1, silu=False, what="conv"):
    x = torch.randn(1, size, size, c).to(dtype)
    w = (torch.randn(o, k, k, c // groups) / (k * k * c // groups) ** 0.5).to(dtype)
    bias = torch.randn(o).to(dtype)
    out = (size + 2 * (k // 2) - k) // stride + 1
    tx, tw = last(x), last(w).contiguous(memory_format=torch.channels_last)
    dy = torch.randn(1, out, out, o).to(dtype)
    form = [stride, k // 2, groups, SILU if silu else 0, out, out]
    torch.set_num_threads(threads)
    if what == "conv":
        y = torch.empty(1, out, out, o, dtype=dtype)
        ours = Ours(lib, "conv", x, w, bias, y, form, threads)

        def theirs():
            r = F.conv2d(tx, tw, bias, stride, k // 2, 1, groups)
            return F.silu(r, inplace=True) if silu else r
    elif what == "input":
        y = torch.empty_like(x)
        form[3:] = [0, size, size]
        ours = Ours(lib, "conv_transpose", dy, w, None, y, form, threads)

        def theirs():
            return torch.ops.aten.convolution_backward(
                last(dy), tx, tw, None, [stride] * 2, [k // 2] * 2, [1, 1], False, [0, 0], groups,
                [True, False, False])[0]
    else:
        y = torch.empty_like(w)
        form[3] = 0
        ours = Ours(lib, "conv_weight_grad", x, w, dy, y, form, threads)

        def theirs():
            return torch.ops.aten.convolution_backward(
                last(dy), tx, tw, None, [stride] * 2, [k // 2] * 2, [1, 1], False, [0, 0], groups,
                [False, True, False])[1]
    ours.run()
    want = theirs().float()
    error = ((last(y).float() - want).abs().max() / want.abs().max()).item()
    a, b = measure(ours.run, theirs, threads, seconds)
    ops = 2.0 * out * out * o * k * k * (c // groups)
    moved = (x.numel() + w.numel() + out * out * o) * x.element_size()
    show(name if what == "conv" else f"{name}, grad of {what}", dtype, threads, a, b, ops, moved, error)
    ours.free()


def move(lib, name, dtype, threads, seconds, op, x, form, y, theirs, ops=0):
    torch.set_num_threads(threads)
    ours = Ours(lib, op, x, None, None, y, form, threads)
    ours.run()
    error = (y.float() - theirs().float().reshape(y.shape)).abs().max().item()
    a, b = measure(ours.run, theirs, threads, seconds)
    show(name, dtype, threads, a, b, ops, (x.numel() + y.numel()) * x.element_size(), error)
    ours.free()


def convolutions(lib, dtype, threads, seconds):
    def run(*args, **more):
        conv(lib, args[0], dtype, threads, seconds, *args[1:], **more)

    run("3x3 256->256 at 64", 64, 256, 256, 3)
    run("3x3 512->512 at 32, SiLU", 32, 512, 512, 3, silu=True)
    run("3x3 128->128 at 128", 128, 128, 128, 3)
    run("3x3 3->128 at 256", 256, 3, 128, 3)
    run("3x3 128->3 at 256", 256, 128, 3, 3)
    run("3x3 256->512 at 64, stride 2", 64, 256, 512, 3, stride=2)
    run("1x1 1152->5600 at 32", 32, 1152, 5600, 1)
    run("1x1 2800->1152 at 32", 32, 2800, 1152, 1)
    run("1x1 3456 in 108 groups at 32", 32, 3456, 3456, 1, groups=108)
    run("depthwise 3x3 5600 at 32", 32, 5600, 5600, 3, groups=5600)
    run("depthwise 5x5 768 at 64", 64, 768, 768, 5, groups=768)
    run("depthwise 3x3 256 at 112, stride 2", 112, 256, 256, 3, stride=2, groups=256)
    for what in ("input", "weight"):
        run("3x3 256->256 at 64", 64, 256, 256, 3, what=what)
        run("3x3 256->512 at 64, stride 2", 64, 256, 512, 3, stride=2, what=what)
        run("1x1 1152->1152 at 32", 32, 1152, 1152, 1, what=what)
        run("depthwise 3x3 1024 at 32", 32, 1024, 1024, 3, groups=1024, what=what)


def moves(lib, dtype, threads, seconds):
    def run(*args, **more):
        move(lib, args[0], dtype, threads, seconds, *args[1:], **more)

    x = torch.randn(1, 64, 64, 1024).to(dtype)
    y = torch.empty(1, 128, 128, 256, dtype=dtype)
    run("pixel_shuffle 2, 1024 at 64", "pixel_shuffle", x, [2, 2], y,
        lambda: F.pixel_shuffle(last(x), 2).permute(0, 2, 3, 1).contiguous())
    z = torch.empty_like(x)
    run("pixel_unshuffle 2, 256 at 128", "pixel_unshuffle", y, [2, 2], z,
        lambda: F.pixel_unshuffle(last(y), 2).permute(0, 2, 3, 1).contiguous())
    u = torch.empty(1, 128, 128, 1024, dtype=dtype)
    run("upsample 2, 1024 at 64", "upsample_nearest", x, [2, 2], u,
        lambda: F.interpolate(last(x), scale_factor=2, mode="nearest").permute(0, 2, 3, 1))
    p = torch.empty(1, 32, 32, 1024, dtype=dtype)
    run("maxpool 2, 1024 at 64", "maxpool", x, [2, 2, 0], p,
        lambda: F.max_pool2d(last(x), 2).permute(0, 2, 3, 1))
    run("avgpool 2, 1024 at 64", "avgpool", x, [2, 2, 0], p,
        lambda: F.avg_pool2d(last(x), 2).permute(0, 2, 3, 1))
    q = torch.empty(1, 32, 32, 1024, dtype=dtype)
    run("maxpool 3 stride 2, 1024 at 64", "maxpool", x, [3, 2, 1], q,
        lambda: F.max_pool2d(last(x), 3, 2, 1).permute(0, 2, 3, 1))
    flat = torch.randn(1, 1, 4096, 1024).to(dtype)
    t = torch.empty(1, 1, 1024, 4096, dtype=dtype)
    run("transpose 4096 x 1024", "permute", flat, [4, 0, 1, 3, 2], t,
        lambda: flat.transpose(2, 3).contiguous())
    heads = torch.randn(1, 4096, 16, 64).to(dtype)
    h = torch.empty(1, 16, 4096, 64, dtype=dtype)
    run("heads first, 4096 x 16 x 64", "permute", heads, [4, 0, 2, 1, 3], h,
        lambda: heads.transpose(1, 2).contiguous())


def main():
    p = argparse.ArgumentParser()
    p.add_argument("lib", nargs="?", default=os.path.join(HERE, "..", "build", "release", "bench", "libfrugal_bench.so"))
    p.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    p.add_argument("--types", nargs="*", default=["float32", "bfloat16"])
    p.add_argument("--seconds", type=float, default=1.0)
    p.add_argument("--only", choices=["conv", "move"])
    args = p.parse_args()
    lib = load(args.lib)
    print(f"{'what':34} {'type':9} th    ours ms  torch ms   ratio  ours GF/s torch   GB/s  max diff")
    for threads in args.threads:
        for name in args.types:
            if args.only != "move":
                convolutions(lib, getattr(torch, name), threads, args.seconds)
            if args.only != "conv":
                moves(lib, getattr(torch, name), threads, args.seconds)


main()
