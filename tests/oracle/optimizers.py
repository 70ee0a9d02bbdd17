#!/usr/bin/env python3
"""Golden files for the optimizers, from the formulas of the papers in NumPy, in doubles.

    tests/golden/train/block8.safetensors       both dynamic maps of 8 bits (Dettmers et al. 2022); values, and
                                                the codes of their nearest; codes in equal steps
    tests/golden/train/optimizers.safetensors   weights after 50 steps of CAME (Luo et al. 2023), CAME with a
                                                first moment in 8 bits, both ways, and AdamW with both in 8 bits

The gradients are whole numbers of a hash (see gradient), which test_optimizer_golden.c computes alike. Where
bitsandbytes is installed, its map and its codes are compared with ours.

    python tests/oracle/optimizers.py       needs numpy and safetensors
"""
import os

import numpy as np
from safetensors.numpy import save_file

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "train")
STEPS = 50
B1, B2, B3, RATE, DECAY = (float(np.float32(x)) for x in (0.9, 0.999, 0.9999, 0.01, 0.1))

# ---- codes of 8 bits ----


def dynamic_map(signs):
    """Seven decades; the middles of equal parts of [0.1, 1], twice as many in each decade as in the one below."""
    values = [0.0, 1.0]
    for decade in range(7):
        parts = (1 if signs else 2) * 2 ** decade
        bounds = np.linspace(0.1, 1.0, parts + 1)
        middles = 10.0 ** (decade - 6) * (bounds[:-1] + bounds[1:]) / 2
        values += list(middles) + (list(-middles) if signs else [])
    return np.sort(np.array(values)).astype(np.float32)


def nearest(table, x):
    """The codes of one block by looking at all 256 values; of two as near, the one closer to 0."""
    largest = np.float32(np.abs(x).max())
    if largest < np.finfo(np.float32).tiny:
        return np.full(x.shape, int(np.where(table == 0)[0][0]), np.uint8), np.float32(0)
    y = (x * (np.float32(1) / largest)).astype(np.float32).astype(np.float64)
    far = np.abs(y[:, None] - table.astype(np.float64)[None, :])
    best = far.min(1, keepdims=True)
    size = np.where(far == best, np.abs(table)[None, :], np.inf)
    return size.argmin(1).astype(np.uint8), largest


def even(x, around_zero):
    """Equal steps: codes, scale, low."""
    x = x.astype(np.float32)
    low = np.float32(0) if around_zero else x.min()
    scale = np.float32(np.abs(x).max() / np.float32(127)) if around_zero else np.float32((x.max() - low) / np.float32(255))
    shift = 127 if around_zero else 0
    if scale < np.finfo(np.float32).tiny:
        return np.full(x.shape, shift, np.uint8), np.float32(0), low
    code = np.floor((x - low) * (np.float32(1) / scale) + np.float32(shift + 0.5))
    return code.astype(np.uint8), scale, low


def block_file():
    rng = np.random.default_rng(5)
    blocks = [rng.standard_normal(2048), rng.standard_normal(2048) * np.exp(rng.standard_normal(2048) * 4),
              np.linspace(-1, 1, 2048), np.zeros(2048), np.full(2048, -3.25), np.exp(-rng.random(2048) * 30),
              rng.standard_normal(2048) * 1e-36, rng.standard_normal(2048) * 1e-41, rng.standard_normal(2048) * 1e37,
              np.where(rng.random(2048) < 0.01, rng.standard_normal(2048), 0)]
    x = np.array(blocks).astype(np.float32)
    out = {"x": x, "signed": dynamic_map(True), "unsigned": dynamic_map(False)}
    for name, values in (("signed", x), ("unsigned", np.abs(x))):
        both = [nearest(out[name], b) for b in values]
        out[name + ".codes"] = np.array([c for c, _ in both])
        out[name + ".largest"] = np.array([s for _, s in both], np.float32)
    for name, around in (("even", False), ("around", True)):
        three = [even(b, around) for b in x]
        out[name + ".codes"] = np.array([c for c, _, _ in three])
        out[name + ".scale"] = np.array([s for _, s, _ in three], np.float32)
        out[name + ".low"] = np.array([s for _, _, s in three], np.float32)
    save_file(out, os.path.join(OUT, "block8.safetensors"))
    return out


# ---- optimizers ----

SHAPES = {"vector": (37,), "matrix": (12, 20), "wide": (3, 70), "point": (6, 1, 1, 10), "kernel": (5, 3, 3, 4),
          "large": (200, 100)}
EVERY = 9  # of the large one, so many values apart are kept


def gradient(name, step):
    """Whole numbers of a hash, each row and column with a size of its own, in f32; from step 25 on smaller ones, so
    that the moments are above them."""
    n = int(np.prod(SHAPES[name]))
    which = list(SHAPES).index(name)
    i = np.arange(n, dtype=np.uint64)
    h = (i * 2654435761 + (step + 1) * 40503 * 65537 + which * 97) % 2 ** 32
    h = ((h ^ (h >> 15)) * 2246822519) % 2 ** 32
    h ^= h >> 13
    cols = SHAPES[name][-1]
    size = 2.0 ** ((i // cols % 5).astype(np.float64) - (i % cols % 7).astype(np.float64))
    size = size * (1 if step < 25 else 2.0 ** -6)
    return (((h >> 16).astype(np.float64) - 30000) / 65536 * size).astype(np.float32).astype(np.float64).reshape(SHAPES[name])


def start(name):
    n = int(np.prod(SHAPES[name]))
    return (np.arange(n) % 13 - 6.0).reshape(SHAPES[name]) / 4


def factored(shape):
    return len(shape) >= 2 and all(d == 1 for d in shape[1:-1])


def clip(grads, most):
    norm = np.sqrt(sum((g * g).sum() for g in grads.values()))
    return most / (norm + 1e-6) if norm > most else 1.0


class Came:
    """b1, b2, b3 = 0.9, 0.999, 0.9999 (as floats); eps = 1e-30, 1e-16; U clipped at a root mean square of 1."""

    def __init__(self, shape, code=None):
        self.shape, self.code = shape, code
        self.matrix = factored(shape)
        self.m = np.zeros(shape)
        if self.matrix:
            self.r, self.c = np.zeros(shape[0]), np.zeros(shape[-1])
            self.rr, self.rc = np.zeros(shape[0]), np.zeros(shape[-1])
        else:
            self.v = np.zeros(shape)

    @staticmethod
    def root(r, c):
        """1 / sqrt(r c^T / mean r)"""
        return 1 / np.sqrt(np.outer(r, c) / r.mean())

    def step(self, g):
        shape = g.shape
        u = g * g + 1e-30
        if self.matrix:
            g, u = g.reshape(shape[0], -1), u.reshape(shape[0], -1)
            self.r = B2 * self.r + (1 - B2) * u.mean(1)
            self.c = B2 * self.c + (1 - B2) * u.mean(0)
            d = g * self.root(self.r, self.c)
        else:
            self.v = B2 * self.v + (1 - B2) * u
            d = g / np.sqrt(self.v)
        d = d / max(1.0, np.sqrt((d * d).mean()))
        m = B1 * self.m.reshape(d.shape) + (1 - B1) * d
        s = (d - m) ** 2 + 1e-16
        self.m = self.kept(m)
        if self.matrix:
            self.rr = B3 * self.rr + (1 - B3) * s.mean(1)
            self.rc = B3 * self.rc + (1 - B3) * s.mean(0)
            m = m * self.root(self.rr, self.rc)
        return m.reshape(shape)

    def kept(self, m):
        if self.code is None or not self.matrix or m.size <= 16384:
            return m
        flat, out = m.reshape(-1), np.empty(m.size)
        for at in range(0, m.size, 2048):
            code, scale, low = even(flat[at:at + 2048], self.code == "around")
            shift = 127.0 if self.code == "around" else 0.0
            out[at:at + 2048] = float(low) + (code - shift) * float(scale)
        return out


class AdamW8:
    """b1, b2 = 0.9, 0.999, eps = 1e-8; both moments in blocks of 256, tensors below 4096 values as they are. A
    second moment that is not 0 gets the code of 1 at least."""

    def __init__(self, shape):
        n = int(np.prod(shape))
        self.small, self.m, self.v, self.t = n < 4096, np.zeros(n), np.zeros(n), 0

    def step(self, g):
        self.t += 1
        flat = g.reshape(-1)
        m, v = B1 * self.m + (1 - B1) * flat, B2 * self.v + (1 - B2) * flat * flat
        d = m / (1 - B1 ** self.t) / (np.sqrt(v / (1 - B2 ** self.t)) + 1e-8)
        self.m, self.v = (m, v) if self.small else (self.kept(m, True), self.kept(v, False))
        return d.reshape(g.shape)

    @staticmethod
    def kept(x, signs):
        table, out = dynamic_map(signs), np.empty(x.size)
        for at in range(0, x.size, 256):
            block = x[at:at + 256].astype(np.float32)
            code, largest = nearest(table, block)
            if not signs:
                code = np.where((block > 0) & (code == 0), 1, code)
            out[at:at + 256] = table[code].astype(np.float64) * float(largest)
        return out


def optimizer_file():
    out = {}
    for run, make in (("came", Came), ("came8", lambda s: Came(s, "even")), ("around", lambda s: Came(s, "around")),
                      ("adamw8", AdamW8)):
        w = {k: start(k) for k in SHAPES}
        o = {k: make(SHAPES[k]) for k in SHAPES}
        for t in range(STEPS):
            grads = {k: gradient(k, t) for k in SHAPES}
            by = clip(grads, 40.0)
            for k in SHAPES:
                if len(SHAPES[k]) >= 2:
                    w[k] = w[k] * (1 - RATE * DECAY)
                w[k] = w[k] - RATE * o[k].step(grads[k] * by)
        for k in SHAPES:
            if run == "came" or k == "large":
                out[f"{run}.{k}"] = w[k].reshape(-1)[::EVERY if k == "large" else 1].astype(np.float32)
    save_file(out, os.path.join(OUT, "optimizers.safetensors"))


# ---- another program ----


def compare(ours):
    try:
        import bitsandbytes.functional as other
        import torch
    except ImportError:
        print("bitsandbytes is not installed: its map was not compared")
        return
    for name, signs in (("signed", True), ("unsigned", False)):
        theirs = other.create_dynamic_map(signs).numpy()
        print(name, "map: largest relative difference", np.abs(theirs / np.where(ours[name], ours[name], 1) -
                                                               (ours[name] != 0)).max())
    x = ours["x"][:3]
    codes, state = other.quantize_blockwise(torch.from_numpy(x.reshape(-1).copy()), blocksize=2048)
    table = other.create_dynamic_map(True).numpy().astype(np.float64)
    y = x.reshape(-1) / np.repeat(state.absmax.numpy(), 2048)
    a, b = np.abs(table[codes.numpy()] - y), np.abs(table[ours["signed.codes"][:3].reshape(-1)] - y)
    print("codes that differ:", (codes.numpy() != ours["signed.codes"][:3].reshape(-1)).sum(), "of", x.size,
          "; ours is farther by at most", (b - a).max(), ", theirs by", (a - b).max())


os.makedirs(OUT, exist_ok=True)
compare(block_file())
optimizer_file()
