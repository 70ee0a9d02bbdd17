#!/usr/bin/env python3
"""Writes tests/golden/tensor/npy: one small array each, as numpy.save writes it, for tests/tensor/test_npy.c.

Value i (in C order) of every array is i * 7 % 64 - 32 (of unsigned ones i * 7 % 64).
"""
import os
import sys

import numpy as np

out = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "../golden/tensor/npy")


def values(shape, dtype):
    n = int(np.prod(shape))
    v = np.arange(n) * 7 % 64
    if np.dtype(dtype).kind != "u":
        v = v - 32
    return v.reshape(shape).astype(dtype)


for name in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"):
    np.save(os.path.join(out, name + ".npy"), values((3, 5), name))
np.save(os.path.join(out, "fortran.npy"), np.asfortranarray(values((3, 5), "f4")))
np.save(os.path.join(out, "scalar.npy"), values((), "f4"))
np.save(os.path.join(out, "line.npy"), values((7,), "f4"))
np.save(os.path.join(out, "cube.npy"), values((2, 3, 4), "f4"))
np.save(os.path.join(out, "nothing.npy"), values((0, 4), "f4"))
for version in ((2, 0), (3, 0)):
    with open(os.path.join(out, "version%d.npy" % version[0]), "wb") as f:
        np.lib.format.write_array(f, values((3, 5), "f4"), version=version)

# What the fuzz targets begin with: right files and hostile ones.
corpus = os.path.join(os.path.dirname(__file__), "../fuzz/corpus")


def seed(target, name, data):
    os.makedirs(os.path.join(corpus, target), exist_ok=True)
    with open(os.path.join(corpus, target, name), "wb") as f:
        f.write(data)


def npy(header, data=b"", version=1):
    length = len(header).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + length + header.encode() + data


for name in ("f2", "f8", "b1"):
    with open(os.path.join(out, name + ".npy"), "rb") if name != "b1" else open(os.path.join(out, "fortran.npy"), "rb") as f:
        seed("npy", name if name != "b1" else "fortran", f.read())
good = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }"
seed("npy", "version3", npy(good, bytes(8), 3))
seed("npy", "short", npy(good, bytes(7)))
seed("npy", "object", npy(good.replace("<f4", "|O"), bytes(8)))
seed("npy", "record", npy(good.replace("'<f4'", "[('a', '<f4')]"), bytes(8)))
seed("npy", "huge", npy(good.replace("(2,)", "(4294967296, 4294967296)"), bytes(8)))
seed("npy", "deep", npy(good.replace("(2,)", "(1, 1, 1, 1, 1, 2)"), bytes(8)))
seed("npy", "turned", npy(good.replace("False", "True").replace("(2,)", "(2, 1, 1,)"), bytes(8)))
seed("npy", "empty", npy(good.replace("(2,)", "(0, 9223372036854775807)"), b""))
seed("npy", "length", b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}")


def vecs(width, rows, size, first=b""):
    return first + b"".join(width.to_bytes(4, "little", signed=True) + bytes(range(width * size)) for _ in range(rows))


seed("vecs", "three", vecs(3, 4, 4))
seed("vecs", "bytes", vecs(8, 3, 1))
seed("vecs", "one", vecs(1, 1, 4))
seed("vecs", "uneven", vecs(2, 2, 4) + vecs(5, 1, 4))
seed("vecs", "negative", (-1).to_bytes(4, "little", signed=True) + bytes(8))
seed("vecs", "largest", (2**31 - 1).to_bytes(4, "little") + bytes(8))
