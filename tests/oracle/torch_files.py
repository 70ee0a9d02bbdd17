#!/usr/bin/env python3
"""Files of torch.save, good and hostile: tests/golden/tensor/torch/ for tests/tensor/test_torch.c, and the first inputs
of the fuzz target in tests/fuzz/corpus/torch/.

    python tests/oracle/torch_files.py        needs torch; nothing hostile is ever loaded here"""
import io
import json
import os
import pickle
import shutil
import zipfile
from collections import OrderedDict

import torch

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "..", "golden", "tensor", "torch")
CORPUS = os.path.join(HERE, "..", "fuzz", "corpus", "torch")


def path(name):
    return os.path.join(OUT, name)


def with_pickle(name, data, members=(), method=zipfile.ZIP_STORED):
    """A zip like torch.save's with a pickle of our own."""
    with zipfile.ZipFile(path(name), "w", method) as z:
        z.writestr("archive/data.pkl", data)
        for key, value in members:
            z.writestr("archive/" + key, value)


class Call:
    def __init__(self, what, *args):
        self.what, self.args = what, args

    def __reduce__(self):
        return self.what, self.args


class Storage:
    def __init__(self, key, count):
        self.id = ("storage", torch.FloatStorage, key, "cpu", count)


class Pickler(pickle.Pickler):
    def persistent_id(self, x):
        return x.id if isinstance(x, Storage) else None


def tensor(count, shape, stride, offset=0, key="0"):
    return Call(torch._utils._rebuild_tensor_v2, Storage(key, count), offset, shape, stride, False, OrderedDict())


def pickled(x, protocol=2):
    out = io.BytesIO()
    Pickler(out, protocol).dump(x)
    return out.getvalue()


def good():
    x = torch.arange(6).reshape(2, 3)
    kinds = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16, "f64": torch.float64,
             "i64": torch.int64, "i32": torch.int32, "i16": torch.int16, "i8": torch.int8, "u8": torch.uint8,
             "bool": torch.bool}
    types = {name: x.to(kind) for name, kind in kinds.items()}
    torch.save(types | {"scalar": torch.tensor(2.5), "empty": torch.zeros(0, 4)}, path("types.bin"))
    whole = torch.arange(12.0).reshape(3, 4)
    ways = OrderedDict(whole=whole, part=whole[1:], tied=whole, parameter=torch.nn.Parameter(torch.ones(3)),
                       step=1234567890123, rate=0.5, flag=True, nothing=None, words=["a", ("b", 1)],
                       inner={"deep": {"w": torch.zeros(2)}})
    ways._metadata = OrderedDict([("", {"version": 1})])
    torch.save(ways, path("ways.bin"))
    os.makedirs(path("shards"))
    names = ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"]
    torch.save({"a": torch.arange(3.0)}, path("shards/" + names[0]))
    torch.save({"b": torch.arange(3.0) + 5}, path("shards/" + names[1]))
    with open(path("shards/pytorch_model.bin.index.json"), "w") as f:
        json.dump({"metadata": {"total_size": 24}, "weight_map": {"a": names[0], "b": names[1]}}, f)


def hostile():
    values = [("data/0", bytes(24))]
    with_pickle("system.bin", pickled({"w": Call(os.system, "true")}), values)
    with_pickle("builtins.bin", pickled({"w": Call(eval, "1")}), values)
    with_pickle("protocol4.bin", pickled({"w": {1, 2}}, 4), values)
    with_pickle("transposed.bin", pickled({"t": tensor(6, (2, 3), (1, 2))}), values)
    with_pickle("packed.bin", pickled({"w": tensor(6, (2, 3), (3, 1))}), [("data/0", bytes(2400))], zipfile.ZIP_DEFLATED)
    with_pickle("short.bin", pickled({"w": tensor(6, (2, 3), (3, 1), 1)}), values)
    with_pickle("list.bin", pickled([1, 2]), values)
    with_pickle("big.bin", pickled({}), [("byteorder", b"big")])
    with zipfile.ZipFile(path("nothing.bin"), "w") as z:
        z.writestr("a/b.txt", "c")
    torch.save({"w": torch.zeros(2)}, path("old.bin"), _use_new_zipfile_serialization=False)


def corpus():
    """Also: a dictionary that holds itself, huge shapes, marks without end."""
    os.makedirs(CORPUS, exist_ok=True)
    for name in os.listdir(OUT):
        if name.endswith(".bin"):
            shutil.copy(path(name), os.path.join(CORPUS, name))
    values = [("data/0", bytes(24))]
    me = {}
    me["me"] = me
    with_pickle("self.tmp", pickled(me), values)
    with_pickle("huge.tmp", pickled({"w": tensor(2**62, (2**40, 2**22), (2**22, 1))}), values)
    with_pickle("marks.tmp", b"\x80\x02" + b"(" * 3000 + b".", values)
    with_pickle("memo.tmp", b"\x80\x02}r\xff\xff\xff\xff.", values)
    for name in ("self", "huge", "marks", "memo"):
        shutil.move(path(name + ".tmp"), os.path.join(CORPUS, name + ".bin"))


shutil.rmtree(OUT, ignore_errors=True)
os.makedirs(OUT)
good()
hostile()
corpus()
