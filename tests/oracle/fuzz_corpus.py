"""Makes the first inputs of the fuzz targets for files of tensors: small files that reach every
part of the parsers.

    python3 tests/oracle/fuzz_corpus.py tests/fuzz/corpus
"""
import pathlib
import struct
import sys


def safetensors(header, data=b""):
    header = header.encode()
    return struct.pack("<Q", len(header)) + header + data


def tensor(name, dtype, shape, begin, end):
    return f'"{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{begin},{end}]}}'


TYPES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "I64": 8, "I32": 4,
         "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1}


def safetensors_files():
    at, items = 0, []
    for name, size in TYPES.items():
        items.append(tensor(name.lower(), name, [1, 2], at, at + 2 * size))
        at += 2 * size
    yield "types", safetensors("{" + ",".join(items) + "}  ", bytes(range(at)))
    yield "meta", safetensors('{"__metadata__":{"format":"pt","\\u00e9\\n":"\\ud83d\\ude00"},'
                              + tensor("a", "F32", [], 0, 4) + "}", b"\0\0\xc0\x7f")
    yield "empty", safetensors("{}")
    yield "odd", safetensors("{" + tensor("a", "F64", [1], 1, 9) + ","
                             + tensor("b", "U8", [1, 1, 1, 1, 1], 0, 1) + "}", bytes(9))
    yield "zero", safetensors("{" + tensor("a", "F16", [0, 7], 0, 0)[:-1] + ',"x":[{"y":-1.5e3}]}}')
    yield "overlap", safetensors("{" + tensor("a", "I8", [4], 0, 4) + ","
                                 + tensor("b", "I8", [4], 2, 6) + "}", bytes(6))
    yield "huge", safetensors("{" + tensor("a", "F32", [2**62, 4], 0, 0) + "}")
    yield "length", struct.pack("<Q", 2**63) + b"{}"


def text(s):
    s = s.encode() if isinstance(s, str) else s
    return struct.pack("<Q", len(s)) + s


def gguf(pairs, tensors, data=b"", version=3, align=32):
    out = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(pairs))
    for key, kind, value in pairs:
        out += text(key) + struct.pack("<I", kind) + value
    for name, dims, kind, offset in tensors:
        out += text(name) + struct.pack("<I", len(dims))
        out += b"".join(struct.pack("<Q", d) for d in dims) + struct.pack("<IQ", kind, offset)
    return out + bytes(-len(out) % align) + data


BLOCKS = {2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 12: (256, 144),
          13: (256, 176), 14: (256, 210)}
PLAIN = {0: 4, 1: 2, 24: 1, 25: 2, 26: 4, 27: 8, 28: 8, 30: 2}


def listed(kind, items):
    return struct.pack("<IQ", kind, len(items)) + b"".join(items)


def gguf_files():
    pairs = [("u8", 0, b"\1"), ("i8", 1, b"\xff"), ("u16", 2, b"\1\2"), ("i16", 3, b"\1\x82"),
             ("u32", 4, bytes(4)), ("i32", 5, b"\xff" * 4), ("f32", 6, struct.pack("<f", 1.5)),
             ("yes", 7, b"\1"), ("text", 8, text("a")), ("u64", 10, b"\xff" * 8),
             ("i64", 11, bytes(8)), ("f64", 12, struct.pack("<d", 2.5))]
    yield "pairs", gguf(pairs, [])
    words = [text(w) for w in (b"a", b"\xff", b"") * 6]
    lists = [("short", 9, listed(8, words[:3])), ("long", 9, listed(8, words)),
             ("numbers", 9, listed(6, [bytes(4)] * 20)),
             ("nested", 9, listed(9, [listed(0, [b"\1", b"\2"])] * 2)), ("bad", 8, text(b"\xff\xfe"))]
    yield "lists", gguf(lists, [])
    tensors, data = [], b""
    for kind, (block, size) in BLOCKS.items():
        tensors.append((f"t{kind}", [block], kind, len(data)))
        data += bytes(i * 37 % 256 for i in range(size))
        data += bytes(-len(data) % 32)
    yield "blocks", gguf([], tensors, data)
    tensors = [(f"p{kind}", [1, 2], kind, i * 32) for i, kind in enumerate(PLAIN)]
    yield "plain", gguf([], tensors, bytes(i * 11 % 256 for i in range(32 * len(PLAIN))))
    yield "aligned", gguf([("general.alignment", 4, struct.pack("<I", 8))],
                          [("a", [3], 24, 0), ("b", [], 0, 8), ("c", [0], 0, 16)], bytes(16), align=8)
    yield "version2", gguf([], [("a", [2, 1, 1, 1, 1], 0, 0)], bytes(8), version=2)
    yield "overlap", gguf([], [("a", [16], 0, 0), ("b", [8], 0, 32)], bytes(64))
    yield "counts", b"GGUF" + struct.pack("<IQQ", 3, 2**63, 2**63)


def main():
    for target, files in (("safetensors", safetensors_files()), ("gguf", gguf_files())):
        folder = pathlib.Path(sys.argv[1]) / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files:
            (folder / name).write_bytes(data)


main()
