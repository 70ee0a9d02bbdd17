"""One side of bench/llm.py in a process of its own: reads commands, a JSON object a line, and answers with seconds.

    {"do": "read", "streams": 16, "tokens": 128}    prompts of new texts
    {"do": "write", "tokens": 32}                   so many tokens of each, one after another
    {"do": "clear"}    {"do": "bytes"}    {"do": "peaks"}

python llm_worker.py frugal LIB FOLDER THREADS STREAMS CONTEXT PAGES HALF
python llm_worker.py llama_cpp GGUF THREADS STREAMS CONTEXT        (or ik_llama_cpp)
"""
import ctypes
import json
import os
import sys
import time

KINDS = {"bf16": 0, "f16": 1, "f32": 2, "8": 3, "4": 4}


def token_of(i):
    return 2 + i * 7919 % 1000


class Frugal:
    def __init__(self, lib, folder, threads, streams, context, pages, half):
        self.lib = ctypes.CDLL(lib)
        self.lib.fr_bench_llm_new.restype = ctypes.c_void_p
        self.lib.fr_bench_llm_bytes.restype = ctypes.c_double
        self.threads = int(threads)
        args = [ctypes.c_int(int(x)) for x in (threads, streams, context, KINDS[pages], half)]
        self.handle = ctypes.c_void_p(self.lib.fr_bench_llm_new(folder.encode(), *args))
        if not self.handle:
            raise SystemExit(1)

    def check(self, status):
        if status:
            raise SystemExit(1)

    def read(self, streams, tokens):
        self.check(self.lib.fr_bench_llm_read(self.handle, streams, tokens))

    def write(self, tokens):
        self.check(self.lib.fr_bench_llm_write(self.handle, tokens))

    def clear(self):
        self.lib.fr_bench_llm_clear(self.handle)

    def bytes(self):
        return [self.lib.fr_bench_llm_bytes(self.handle, i) for i in range(3)]

    def built(self):
        return ""


class Llama:
    """llama.cpp or ik_llama.cpp through its C interface."""

    def __init__(self, package, model, threads, streams, context):
        if package == "ik_llama_cpp":
            import ik_llama_cpp._ctypes_api as api
        else:
            import llama_cpp.llama_cpp as api
        self.api, self.streams = api, int(streams)
        api.llama_backend_init()
        self.model = api.llama_model_load_from_file(model.encode(), api.llama_model_default_params())
        p = api.llama_context_default_params()
        p.n_ctx = int(streams) * int(context)
        p.n_batch = 2048
        p.n_seq_max = int(streams)
        p.n_threads = p.n_threads_batch = int(threads)
        if package == "ik_llama_cpp" and self.streams > 1:
            p.flash_attn = False  # an assertion of its own fails over several texts
        self.ctx = api.llama_init_from_model(self.model, p)
        if not self.ctx:
            raise SystemExit(1)
        self.batch = api.llama_batch_init(2048, 0, 1)
        self.length = []

    def send(self, rows):
        """rows: (token, position, sequence, whether logits are wanted)."""
        b = self.batch
        for i, (token, pos, seq, wanted) in enumerate(rows):
            b.token[i], b.pos[i], b.n_seq_id[i], b.logits[i] = token, pos, 1, wanted
            b.seq_id[i][0] = seq
        b.n_tokens = len(rows)
        if self.api.llama_decode(self.ctx, b):
            raise SystemExit("llama_decode failed")

    def read(self, streams, tokens):
        rows = []
        for _ in range(streams):
            seq = len(self.length)
            self.length.append(tokens)
            rows += [(token_of(i), i, seq, i + 1 == tokens) for i in range(tokens)]
        for at in range(0, len(rows), 2048):
            self.send(rows[at : at + 2048])
        self.api.llama_get_logits_ith(self.ctx, -1)

    def write(self, tokens):
        for t in range(tokens):
            self.send([(token_of(t + 13 * s), n + t, s, True) for s, n in enumerate(self.length)])
            self.api.llama_get_logits_ith(self.ctx, -1)
        self.length = [n + tokens for n in self.length]

    def clear(self):
        self.length = []
        if hasattr(self.api, "llama_get_memory"):
            self.api.llama_memory_clear(self.api.llama_get_memory(self.ctx), False)
        else:
            self.api.llama_kv_cache_clear(self.ctx)

    def bytes(self):
        return None

    def built(self):
        """What it was compiled for."""
        f = self.api._lib.llama_print_system_info
        f.restype = ctypes.c_char_p
        words = [w.strip() for w in f().decode().replace(":", "|").split("|")]
        return " ".join(w[:-4] for w in words if w.endswith(" = 1") and w.startswith("AVX"))


def main():
    who, rest = sys.argv[1], sys.argv[2:]
    out = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if who != "frugal":
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    side = Frugal(*rest) if who == "frugal" else Llama(who, *rest)
    print(json.dumps(side.built()), file=out, flush=True)
    for line in sys.stdin:
        c = json.loads(line)
        start = time.perf_counter()
        answer = None
        if c["do"] == "read":
            side.read(c["streams"], c["tokens"])
        elif c["do"] == "write":
            side.write(c["tokens"])
        elif c["do"] == "clear":
            side.clear()
        else:
            answer = side.bytes()
        seconds = time.perf_counter() - start
        print(json.dumps(seconds if answer is None else answer), file=out, flush=True)


main()
