"""Makes tests/golden/format/imports.safetensors: small layers packed as AWQ, GPTQ and QServe pack them,
value by value from the descriptions of their layouts, and beside each what it means.

    python tests/oracle/formats_int.py tests/golden/format/imports.safetensors
"""
import sys

import numpy as np
from safetensors.numpy import save_file

rng = np.random.default_rng(33)
out = {}


def layer(bits, rows, cols, group):
    """Codes, zero points, scales; the group of each column."""
    groups = -(-cols // group)
    q = rng.integers(0, 1 << bits, (rows, cols))
    z = rng.integers(0, 1 << bits, (rows, groups))
    z[0, 0] = 0
    z[-1, -1] = (1 << bits) - 1
    s = (rng.random((rows, groups)) * 0.1 + 1e-4).astype(np.float16)
    s[0, -1] = np.float16(3e-6)  # a subnormal one
    return q, z, s


def meaning(q, z, s, idx):
    return (q - z[:, idx]).astype(np.float32) * s.astype(np.float32)[:, idx]


def words(fields, bits, order=None):
    """Along the last axis, 32 / bits fields a word, lowest bits first; field i is value order[i]."""
    n = 32 // bits
    packed = np.zeros(fields.shape[:-1] + (fields.shape[-1] // n,), np.uint32)
    for w in range(packed.shape[-1]):
        for i in range(n):
            value = fields[..., w * n + (order[i] if order else i)].astype(np.uint32)
            packed[..., w] |= value << np.uint32(bits * i)
    return packed.view(np.int32)


def awq(name, rows, cols, group):
    q, z, s = layer(4, rows, cols, group)
    order = [0, 2, 4, 6, 1, 3, 5, 7]
    out[name + ".qweight"] = words(q.T, 4, order)
    out[name + ".qzeros"] = words(z.T, 4, order)
    out[name + ".scales"] = np.ascontiguousarray(s.T)
    out[name + ".want"] = meaning(q, z, s, np.arange(cols) // group)


def gptq(name, bits, rows, cols, group, v2, desc_act):
    q, z, s = layer(bits, rows, cols, group)
    idx = np.arange(cols) // group
    if desc_act:
        rng.shuffle(idx)
    stored = z if v2 else (z - 1) % (1 << bits)
    out[name + ".qweight"] = np.ascontiguousarray(words(q, bits).T)
    out[name + ".qzeros"] = words(stored.T, bits)
    out[name + ".scales"] = np.ascontiguousarray(s.T)
    out[name + ".g_idx"] = idx.astype(np.int32)
    out[name + ".want"] = meaning(q, z, s, idx)


def qserve_codes(q):
    rows, cols = q.shape
    packed = np.zeros(rows * cols // 2, np.uint8)
    for o in range(rows):
        for k in range(cols):
            ot, a, b, c = o // 32, o % 32 // 16, o % 16 // 8, o % 8
            kt, d, e, f = k // 32, k % 32 // 16, k % 16 // 4, k % 4
            byte = (ot * (cols // 32) + kt) * 512 + (4 * c + e) * 16 + 8 * d + 4 * b + f
            packed[byte] |= q[o, k] << (4 if a else 0)
    return packed.reshape(rows, cols // 2).view(np.int8)


def qserve_channel(name, rows, cols):
    q = rng.integers(0, 16, (rows, cols)).astype(np.uint8)
    s = (rng.random(rows) * 0.1).astype(np.float16)
    z = (rng.random(rows) * 0.7).astype(np.float16)
    out[name + ".qweight"] = qserve_codes(q)
    out[name + ".s1_scales"] = s
    out[name + ".s1_szeros"] = z
    out[name + ".want"] = q.astype(np.float32) * s.astype(np.float32)[:, None] - z.astype(np.float32)[:, None]


def qserve_group(name, rows, cols, pre):
    scale = rng.integers(1, 17, (rows, cols // 128))
    # Such that every code stays within eight bits; "pre" zero points are multiples of the scale.
    z = rng.integers(7, 9, scale.shape) * scale if pre else np.minimum(15 * scale // 2 + 3, 127)
    if pre:
        scale[1], z[1] = 9, 15 * 9  # above 127
    q = rng.integers(0, 16, (rows, cols)).astype(np.uint8)
    if not pre:
        z = np.maximum(z, 15 * scale - 127)
    v = q * np.repeat(scale, 128, 1) - np.repeat(z, 128, 1)
    q[v < -128] += 1
    q[v > 127] -= 1
    v = q * np.repeat(scale, 128, 1) - np.repeat(z, 128, 1)
    assert v.min() >= -128 and v.max() <= 127
    placed_scale, placed_zero = np.zeros_like(scale.T), np.zeros_like(z.T)
    for o in range(rows):
        j, c = o % 32 // 8, o % 8
        placed_scale[:, o // 32 * 32 + 4 * c + j] = scale[o]
        placed_zero[:, o // 32 * 32 + 4 * c + j] = (256 - z[o]) % 256
    out[name + ".qweight"] = qserve_codes(q)
    out[name + ".s1_scales"] = (rng.random(rows) * 0.01).astype(np.float16)
    out[name + ".s2_scales"] = placed_scale.astype(np.int8)
    out[name + ".s2_zeros"] = placed_zero.astype(np.uint8).view(np.int8)
    out[name + ".want8"] = v.astype(np.int8)


def main():
    awq("awq128", 8, 256, 128)
    awq("awq32", 8, 64, 32)
    awq("awqrow", 8, 40, 40)
    gptq("gptq128", 4, 8, 136, 128, False, False)  # the last group is short
    gptq("gptq64v2", 4, 8, 96, 64, True, False)
    gptq("gptq8", 8, 8, 64, 32, False, False)
    gptq("gptqrow", 4, 8, 24, 24, False, False)
    gptq("gptqact", 4, 8, 128, 32, False, True)
    gptq("gptq8act", 8, 8, 96, 64, True, True)
    qserve_channel("qservechn", 32, 32)
    qserve_group("qservepost", 32, 128, False)
    qserve_group("qservepre", 32, 128, True)
    save_file(out, sys.argv[1])


main()
