#!/usr/bin/env python3
"""make_weights.py: writes weights.safetensors and expected.txt, with nothing but the standard library."""
import json
import struct

IN, HIDDEN, OUT = 4, 8, 3
X = [1, -2, 3, 0.5]


def weights(rows, columns, step):
    """Small numbers that binary fractions hold exactly, so that every machine gets the same sum."""
    return [[((r * columns + c) * step % 17 - 8) / 16 for c in range(columns)] for r in range(rows)]


def linear(w, b, x):
    return [sum(wi * xi for wi, xi in zip(row, x)) + bi for row, bi in zip(w, b)]


w1, b1 = weights(HIDDEN, IN, 5), [i / 8 for i in range(HIDDEN)]
w2, b2 = weights(OUT, HIDDEN, 7), [0.5, -0.25, 0.125]
y = linear(w2, b2, [max(v, 0) for v in linear(w1, b1, X)])

header, data = {}, b""
for name, shape, values in [
    ("fc1.weight", [HIDDEN, IN], sum(w1, [])),
    ("fc1.bias", [HIDDEN], b1),
    ("fc2.weight", [OUT, HIDDEN], sum(w2, [])),
    ("fc2.bias", [OUT], b2),
]:
    raw = struct.pack(f"<{len(values)}f", *values)
    header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
    data += raw
text = json.dumps(header, separators=(",", ":")).encode()
text += b" " * (-len(text) % 8)
with open("weights.safetensors", "wb") as f:
    f.write(struct.pack("<Q", len(text)) + text + data)
with open("expected.txt", "w") as f:
    f.write("y = " + " ".join(f"{v:.4f}" for v in y) + "\n")
