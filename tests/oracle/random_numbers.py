"""Prints the golden values of tests/base/test_random.c.

An independent Philox 4x32-10 in plain Python integers, and Box-Muller in 200-bit arithmetic
(mpmath), rounded once to float32.   usage: python random_numbers.py
"""
import struct
import mpmath

mpmath.mp.prec = 200
MASK = 0xFFFFFFFF


def philox(seed, stream, counter):
    x = [counter & MASK, counter >> 32, stream & MASK, stream >> 32]
    k = [seed & MASK, seed >> 32]
    for _ in range(10):
        p0, p1 = 0xD2511F53 * x[0], 0xCD9E8D57 * x[2]
        x = [(p1 >> 32) ^ x[1] ^ k[0], p1 & MASK, (p0 >> 32) ^ x[3] ^ k[1], p0 & MASK]
        k = [(k[0] + 0x9E3779B9) & MASK, (k[1] + 0xBB67AE85) & MASK]
    return x


def word(seed, stream, i):
    return philox(seed, stream, i // 4)[i % 4]


def bits(x):
    return struct.unpack("<I", struct.pack("<f", float(x)))[0]


def normal(seed, stream, i):
    a, b = word(seed, stream, i & ~1), word(seed, stream, i | 1)
    radius = mpmath.sqrt(-2 * mpmath.log(mpmath.mpf(a + 1) / 2**32))
    angle = 2 * mpmath.pi * mpmath.mpf(b) / 2**32
    return radius * (mpmath.sin(angle) if i & 1 else mpmath.cos(angle))


def show(name, values):
    print(f"static const uint32_t {name}[] = {{{', '.join(f'0x{v:08x}' for v in values)}}};")


SEED, STREAM = 42, 0x0123456789ABCDEF
show("golden_words", [word(SEED, STREAM, i) for i in range(8)])
show("golden_normals", [bits(normal(SEED, STREAM, i)) for i in range(16)])
total = 0
for i in range(10000):
    total = (total * 31 + bits(normal(7, 1, i))) & MASK
print(f"static const uint32_t golden_hash = 0x{total:08x};")
