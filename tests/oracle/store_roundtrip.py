"""Files for the tests of the store, and a look at the files that Frugal writes, both with the
`safetensors` and `gguf` packages of PyPI.

    python tests/oracle/store_roundtrip.py make tests/golden/tensor     makes reference.safetensors,
                                                                        reference.gguf, shards/
    python tests/oracle/store_roundtrip.py check FOLDER                 what tensor_write left there
"""
import json
import pathlib
import sys

import numpy as np
import gguf
import safetensors
from safetensors import safe_open


def fail(text):
    sys.exit("store_roundtrip: " + text)


def expect(got, want, what):
    if got != want:
        fail(f"{what} is {got!r}, not {want!r}")


def make_safetensors(path):
    import torch
    from safetensors.torch import save_file

    x = torch.arange(6).reshape(2, 3)
    types = {"f64": torch.float64, "f32": torch.float32, "f16": torch.float16,
             "bf16": torch.bfloat16, "f8e4m3": torch.float8_e4m3fn, "f8e5m2": torch.float8_e5m2,
             "i64": torch.int64, "i32": torch.int32, "i16": torch.int16, "i8": torch.int8,
             "u64": torch.uint64, "u32": torch.uint32, "u16": torch.uint16, "u8": torch.uint8}
    tensors = {name: x.to(t) for name, t in types.items()}
    tensors["bool"] = (x % 2).to(torch.bool)
    tensors["scalar"] = torch.tensor(2.5)
    tensors["empty"] = torch.zeros(3, 0)
    tensors["näme \"quoted\"\n"] = torch.ones(1)
    save_file(tensors, path, {"made by": "the \"safetensors\" package ✓", "format": "pt"})


def make_shards(folder):
    from safetensors.numpy import save_file

    folder.mkdir(exist_ok=True)
    names = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    save_file({"a": np.arange(4, dtype=np.float32)}, folder / names[0])
    save_file({"b": np.arange(4, dtype=np.float16), "c": np.zeros(2, np.int32)}, folder / names[1])
    index = {"metadata": {"total_size": 32},
             "weight_map": {"a": names[0], "b": names[1], "c": names[1]}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n")
    (folder / "config.json").write_text('{"model_type": "toy", "hidden_size": 4}\n')


def make_gguf(path):
    w = gguf.GGUFWriter(path, "toy")
    w.add_uint8("toy.u8", 200)
    w.add_int8("toy.i8", -100)
    w.add_uint16("toy.u16", 60000)
    w.add_int16("toy.i16", -30000)
    w.add_uint32("toy.u32", 4000000000)
    w.add_int32("toy.i32", -2000000000)
    w.add_uint64("toy.u64", 2**63 + 2**62)
    w.add_int64("toy.i64", -2**62)
    w.add_float32("toy.f32", 0.1)
    w.add_float64("toy.f64", 0.1)
    w.add_bool("toy.yes", True)
    w.add_bool("toy.no", False)
    w.add_string("toy.text", "grüße ✓")
    w.add_array("toy.short", [1, -2, 3])
    w.add_array("toy.words", ["a", "", "c"])
    w.add_token_list([f"token {i}" for i in range(40)])
    w.add_token_scores([i / 8 for i in range(40)])
    rng = np.random.default_rng(3)
    x = rng.normal(size=(3, 64)).astype(np.float32)
    w.add_tensor("f32", np.arange(6, dtype=np.float32).reshape(2, 3))
    w.add_tensor("f16", np.arange(6, dtype=np.float16).reshape(1, 2, 3))
    w.add_tensor("i32", np.arange(6, dtype=np.int32))
    bf16 = gguf.quants.quantize(np.arange(6, dtype=np.float32).reshape(2, 3),
                                gguf.GGMLQuantizationType.BF16)
    w.add_tensor("bf16", bf16, raw_dtype=gguf.GGMLQuantizationType.BF16)
    for kind in ("Q4_0", "Q8_0"):
        q = gguf.GGMLQuantizationType[kind]
        raw = gguf.quants.quantize(x, q)
        w.add_tensor(kind.lower(), raw, raw_dtype=q)
        w.add_tensor(kind.lower() + ".values", gguf.quants.dequantize(raw, q))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


# ---- what tests/tensor/test_write.c writes ----

def values(n):
    """The n values that it uses: small multiples of 1/8, which every type holds but Q8_0."""
    return ((np.arange(n) * 7 % 64) - 32) / 8


def check_tensor(name, got, shape):
    got = np.asarray(got, dtype=np.float64)
    expect(tuple(got.shape), tuple(shape), f"the shape of {name}")
    if not np.array_equal(got.ravel(), values(got.size)):
        fail(f"{name} has other values: {got.ravel()[:8]}")


SHAPES = {"blk.0.weight": (4, 64), "half": (3, 5), "brain": (2, 3, 4), "scalar": (), "empty": (0, 7),
          "transposed": (5, 3)}


def check_safetensors(path):
    with safe_open(path, "pt") as f:
        expect(f.metadata(), {"format": "pt", "by": "Frugal \"é\"\n"}, "the metadata")
        expect(sorted(f.keys()), sorted([*SHAPES, "näme \"q\"\\\t"]), "the names")
        for name, shape in SHAPES.items():
            check_tensor(name, f.get_tensor(name).double().numpy(), shape)


def check_shards(folder):
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    seen = 0
    for name, shard in index["weight_map"].items():
        with safe_open(folder / shard, "np") as f:
            x = f.get_tensor(name)
            check_tensor(name, x, (16, 8))
            seen += x.nbytes
    expect(seen, index["metadata"]["total_size"], "total_size")
    expect(len(set(index["weight_map"].values())), 3, "the number of shards")


def check_gguf(path):
    r = gguf.GGUFReader(path)
    field = {k: f.contents() for k, f in r.fields.items() if not k.startswith("GGUF.")}
    expect(field, {"general.architecture": "toy", "toy.count": 12, "toy.below": -5,
                   "toy.large": 2**40, "toy.eps": float(np.float32(1e-5)), "toy.on": True,
                   "toy.ids": [1, 2, 3], "toy.mixed": [1.0, 2.5], "toy.none": [],
                   "toy.words": ["a", "bé"]}, "the metadata")
    for t in r.tensors:
        shape = tuple(int(d) for d in reversed(t.shape))
        data = gguf.quants.dequantize(t.data, t.tensor_type)
        if t.name == "blk.0.weight":
            expect(t.tensor_type.name, "Q8_0", "the type of blk.0.weight")
            want = values(4 * 64).reshape(4, 64).astype(np.float32)
            if not np.array_equal(t.data, gguf.quants.quantize(want, gguf.GGMLQuantizationType.Q8_0)):
                fail("blk.0.weight is encoded otherwise")
        else:
            check_tensor(t.name, data.reshape(shape), SHAPES[t.name])


def main():
    what, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    if what == "make":
        make_safetensors(folder / "reference.safetensors")
        make_gguf(folder / "reference.gguf")
        make_shards(folder / "shards")
    else:
        check_safetensors(folder / "one.safetensors")
        check_shards(folder / "shards")
        check_gguf(folder / "one.gguf")
        print(f"safetensors {safetensors.__version__} and gguf read what Frugal wrote")


main()
