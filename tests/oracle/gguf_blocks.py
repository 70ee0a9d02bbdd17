"""Makes tests/golden/tensor/blocks.safetensors: GGUF blocks, and what the `gguf` package of PyPI
decodes them to; floats, and what it encodes them to as Q8_0.

    python tests/oracle/gguf_blocks.py tests/golden/tensor/blocks.safetensors
"""
import sys

import numpy as np
from gguf import GGMLQuantizationType as Q, quants
from safetensors.numpy import save_file

# Bytes at which a block keeps f16 numbers.
HALVES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
          "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}
# Largest, smallest normal, subnormals, zeros, infinity, NaN.
EXTREMES = [0x7bff, 0xfbff, 0x0400, 0x0001, 0x83ff, 0x0000, 0x8000, 0x7c00, 0x7e01]


def blocks(kind, rng):
    block, size = quants.GGML_QUANT_SIZES[Q[kind]]
    plain = 4 if block == 256 else 8
    out = [rng.integers(0, 256, size, dtype=np.uint8) for _ in range(plain)]
    for b in out:  # a scale as trained models have
        for at in HALVES[kind]:
            b[at:at + 2] = np.frombuffer(np.float16(rng.normal() * 0.02).tobytes(), np.uint8)
    out += [np.full(size, 0, np.uint8), np.full(size, 255, np.uint8)]
    for i, code in enumerate(EXTREMES if block == 32 else EXTREMES[:4]):
        b = rng.integers(0, 256, size, dtype=np.uint8)
        for at in HALVES[kind]:
            b[at:at + 2] = np.frombuffer(np.uint16(code).tobytes(), np.uint8)
        if i % 2:
            b[4 if at != 208 else 0:100] = 255
            for at in HALVES[kind]:
                b[at:at + 2] = np.frombuffer(np.uint16(code).tobytes(), np.uint8)
        out.append(b)
    return np.stack(out)


def floats(rng):
    rows = [rng.normal(size=32) * s for s in (1, 1e-3, 1e4, 1e-7)]
    rows.append(np.zeros(32))
    rows.append(np.arange(32) - 15.5)                 # halves
    rows.append(np.concatenate([[127], np.arange(31) + 0.5]))  # ties of the rounding
    rows.append(np.full(32, -3.25))
    rows.append(np.concatenate([[1e-40], np.zeros(31)]))       # a subnormal float
    return np.stack(rows).astype(np.float32)


def main():
    rng = np.random.default_rng(20)
    tensors = {}
    with np.errstate(all="ignore"):
        for kind in HALVES:
            raw = blocks(kind, rng)
            tensors[kind.lower() + ".blocks"] = raw
            tensors[kind.lower() + ".values"] = quants.dequantize(raw, Q[kind]).astype(np.float32)
        x = floats(rng)
        tensors["encode.values"] = x
        tensors["encode.q8_0"] = quants.quantize(x, Q.Q8_0)
    save_file(tensors, sys.argv[1])


main()
