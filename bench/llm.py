#!/usr/bin/env python3
"""A language model of a billion parameters: ours beside llama.cpp and ik_llama.cpp, same shape, same threads, in turn.

    python bench/llm.py [--threads 2] [--rounds 5] [--parts decode,prefill,streams] [--shape 1b] [--models DIR]
                        [--head int8-channel] [--lib PATH]
    python bench/llm.py --protocol qserve [--budget MIB] [--cap 48]

Weights are random (rivals/llm_models.py); ours are rounded to W4A8KV4 in groups of 128 with an output matrix in
--head (theirs is in six bits), the peers' to Q4_0 and Q4_K_M by llama.cpp. Each side runs in a process of its own and
waits while another works. A round is every side once, in turn; figures are medians of rounds, and ratios are to the
fastest peer of the same round, then the median.

    decode     one text of 128 tokens gets 32 more
    prefill    prompts of 512 and of 2048 tokens
    streams    16 texts of 64 tokens get 16 more each, together

--protocol qserve: the same engine with weights and pages in 16, 8 and 4 bits, each with as many texts at once as a
budget of memory holds (weights, pages, activations; at most --cap), prompts of 256 tokens, 128 made: tokens made a
second of the whole, prompts among it (the protocol of QServe, Lin et al. 2024, a quarter as long)."""
import argparse
import ctypes
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time

from rivals import llm_models

here = os.path.dirname(os.path.abspath(__file__))
args = argparse.ArgumentParser()
args.add_argument("--threads", type=int, default=os.cpu_count())
args.add_argument("--rounds", type=int, default=5)
args.add_argument("--parts", default="decode,prefill,streams")
args.add_argument("--shape", default="1b", choices=list(llm_models.SHAPES))
args.add_argument("--models", default=os.path.join(os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")), "frugal-llm"))
args.add_argument("--format", default="qoq-g128", help="of our weights")
args.add_argument("--head", default="int8-channel", help="of our output matrix; \"\": bf16")
args.add_argument("--pages", default="4", choices=["bf16", "f16", "f32", "8", "4"])
args.add_argument("--model", help="a folder of ours instead")
args.add_argument("--peers", default="llama_cpp:q4_0,llama_cpp:q4_k_m,ik_llama_cpp:q4_0,ik_llama_cpp:q4_k_m")
args.add_argument("--protocol", choices=["qserve"])
args.add_argument("--budget", type=float, default=2600, help="MiB")
args.add_argument("--cap", type=int, default=64)
args.add_argument("--lib", default=os.path.join(here, "..", "build", "release", "bench", "libfrugal_bench.so"))
args = args.parse_args()

lib = ctypes.CDLL(args.lib)
SHAPE = llm_models.SHAPES[args.shape]


def say(text=""):
    print(text, flush=True)


def ours(format, head):
    """A folder in a format, made once."""
    source = os.path.join(args.models, args.shape, "bf16")
    if format == "bf16":
        return source
    to = os.path.join(args.models, args.shape, f"{format}+{head or 'bf16'}")
    if os.path.exists(os.path.join(to, "config.json")):
        return to
    os.makedirs(to, exist_ok=True)
    if lib.fr_bench_llm_convert(source.encode(), to.encode(), format.encode(), head.encode(), args.threads):
        raise SystemExit(f"the model could not be written in {format}")
    with open(os.path.join(to, "config.json"), "w") as f:
        json.dump(llm_models.config(SHAPE), f)
    return to


class Side:
    def __init__(self, name, *call):
        self.name, self.call = name, [str(x) for x in call]

    def __enter__(self):
        worker = os.path.join(here, "rivals", "llm_worker.py")
        start = time.perf_counter()
        self.p = subprocess.Popen([sys.executable, worker, *self.call], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self.p.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} did not start")
        self.built = json.loads(line)
        self.opened = time.perf_counter() - start
        return self

    def __exit__(self, *_):
        self.p.stdin.close()
        self.p.wait()

    def ask(self, **c):
        self.p.stdin.write(json.dumps(c) + "\n")
        self.p.stdin.flush()
        line = self.p.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} died")
        return json.loads(line)


def frugal(name, folder, streams, context, pages, half=0):
    return Side(name, "frugal", args.lib, folder, args.threads, streams, context, pages, half)


BEFORE = {1: 128, 16: 64}  # tokens of a prompt, by streams


def one(side, part):
    """Tokens a second."""
    side.ask(do="clear")
    time.sleep(0.1)
    kind, n = part
    if kind == "prefill":
        return n / side.ask(do="read", streams=1, tokens=n)
    side.ask(do="read", streams=n, tokens=BEFORE[n])
    tokens = 32 if n == 1 else 16
    return n * tokens / side.ask(do="write", tokens=tokens)


def params():
    c = SHAPE
    q, kv = c["heads"] * c["head_dim"], c["kv_heads"] * c["head_dim"]
    return c["layers"] * (c["width"] * (2 * q + 2 * kv) + 3 * c["width"] * c["hidden"]), c["vocab"] * c["width"]


def prefill_ops(tokens):
    """Of products with weights, and of attention; the output of the last token only."""
    body, head = params()
    pairs = SHAPE["layers"] * SHAPE["heads"] * SHAPE["head_dim"] * tokens * (tokens + 1) / 2
    return 2 * body * tokens + 4 * pairs + 2 * head


NAMES = {"llama_cpp": "llama.cpp", "ik_llama_cpp": "ik_llama.cpp"}


def sides_for(streams, files, folder):
    context = 2304 if streams == 1 else 256
    yield frugal("frugal", folder, streams, context, args.pages)
    for word in filter(None, args.peers.split(",")):
        package, kind = word.split(":")
        if importlib.util.find_spec(package):
            yield Side(f"{NAMES[package]} {kind.upper()}", package, files[kind], args.threads, streams, context)
        else:
            say(f"({package} is not installed: left out; bench/peers installs what can be had)")


def print_part(part, sides, rates, weights, page, peaks):
    say(f"\n{part[0]} {part[1] if part[0] != 'decode' else ''}".rstrip())
    for s in sides:
        say(f"  {s.name:20} {statistics.median(rates[s.name]):8.1f} tokens/s  (best {max(rates[s.name]):.1f})")
    mine = rates["frugal"]
    median = statistics.median(mine)
    for name, some in [("the best peer", sides[1:]), ("llama.cpp", [s for s in sides if s.name.startswith("llama.cpp")])]:
        if some:
            ratio = statistics.median(x / max(rates[s.name][i] for s in some) for i, x in enumerate(mine))
            say(f"  ours is {ratio:.2f} times {name}")
    if part[0] == "prefill":
        ops = prefill_ops(part[1]) * median / part[1]
        say(f"  {ops / 1e12:.2f} Tops, {100 * ops / peaks[1]:.0f} % of the int8 peak")
    else:
        moved = (weights + part[1] * page * (BEFORE[part[1]] + 16)) * median / part[1]
        say(f"  {weights / 1e6:.0f} MB of weights a step: {moved / 1e9:.1f} GB/s, {100 * moved / peaks[0]:.0f} % of the read peak")


def compare():
    files = llm_models.make(args.shape, args.models, args.threads)
    folder = args.model or ours(args.format, args.head)
    read, int8, bf16 = (ctypes.c_double() for _ in range(3))
    lib.fr_bench_llm_peaks(args.threads, ctypes.byref(read), ctypes.byref(int8), ctypes.byref(bf16))
    say(f"{args.shape}: {sum(params()) / 1e9:.2f} G parameters, {args.threads} threads, {args.rounds} rounds; peaks: "
        f"{read.value / 1e9:.1f} GB/s read, {int8.value / 1e12:.2f} Tops int8")
    alone = [("decode", 1)] * ("decode" in args.parts) + [("prefill", 512), ("prefill", 2048)] * ("prefill" in args.parts)
    for streams, parts in [(1, alone), (16, [("streams", 16)] * ("streams" in args.parts))]:
        sides = [s.__enter__() for s in sides_for(streams, files, folder)] if parts else []
        for part in parts:
            rates = {s.name: [] for s in sides}
            for s in sides:
                one(s, part)
            for _ in range(args.rounds):
                for s in sides:
                    rates[s.name].append(one(s, part))
            weights, page, _ = sides[0].ask(do="bytes")
            print_part(part, sides, rates, weights, page, (read.value, int8.value))
        for s in sides:
            say(f"  ({s.name}: {s.built})") if s.built and parts else None
            s.__exit__()


def qserve():
    files = llm_models.make(args.shape, args.models, args.threads)
    kinds = [("bf16", "bf16", "", "bf16", 1), ("W8A8KV8", "int8-channel", args.head, "8", 0),
             ("W4A16", "int4-g128", args.head, "bf16", 0), ("W4A8KV4", "qoq-g128", args.head, "4", 0)]
    prompt, made, rates = 256, 128, {}
    say(f"budget {args.budget:.0f} MiB, prompts of {prompt} tokens, {made} made, {args.threads} threads")
    for name, format, head, pages, half in kinds:
        folder = ours(format, head)
        with frugal(name, folder, 8, prompt + made, pages, half) as s:  # what all but the pages of texts takes
            s.ask(do="read", streams=8, tokens=prompt)
            s.ask(do="write", tokens=2)
            weights, page, peak = s.ask(do="bytes")
        text = page * (prompt + made)
        fixed = peak - 8 * text
        batch = int((args.budget * 2**20 - fixed) // text)
        if batch < 1:
            say(f"  {name:9} does not fit: {fixed / 2**20:.0f} MiB without a text")
            continue
        capped = "" if batch <= args.cap else f" (of {batch} that would fit)"
        batch = min(batch, args.cap)
        with frugal(name, folder, batch, prompt + made, pages, half) as s:
            s.ask(do="read", streams=1, tokens=16)
            s.ask(do="clear")
            a, b = s.ask(do="read", streams=batch, tokens=prompt), s.ask(do="write", tokens=made)
            peak = s.ask(do="bytes")[2]
        rates[name] = batch * made / (a + b)
        say(f"  {name:9} {batch:4d} texts{capped}: {rates[name]:7.1f} tokens/s made; prompts {batch * prompt / a:7.1f}, "
            f"after them {batch * made / b:7.1f} tokens/s; weights {weights / 1e6:.0f} MB, a text {text / 1e6:.2f} MB, "
            f"in all {peak / 2**20:.0f} MiB")
    for name in rates:
        if name != "W4A8KV4" and "W4A8KV4" in rates:
            say(f"  W4A8KV4 is {rates['W4A8KV4'] / rates[name]:.2f} times {name}")


qserve() if args.protocol else compare()
