#!/usr/bin/env python3
"""k-means: ours beside FAISS, scikit-learn and OpenBLAS with arg-min, at equal start and equal iterations.

    python bench/kmeans.py [--parts grid,update,lowd,memory,outofcore] [--threads 2] [--rounds 3] [--quick]
                           [--lib build/release/bench/libfrugal_bench.so] [--dir DIR]

Every side gets the same points, the same first centroids, as many iterations and threads, all points (FAISS would take
256 a centroid), and gives centroids and the labels that belong to them: FAISS searches once more at the end, for it
returns none. Sides work in turn, one after the other, with a rest between them, in which threads of the last fall asleep, and then a
moment of empty work on all processors, which would else wake up at the cost of whoever comes; a ratio is the time of the fastest peer
of a round over ours of the same round, and the median of rounds is printed. What is not installed is left out.

    grid       the shapes of the Flash-KMeans paper, an eighth in size: "f32" computes every distance in f32, "default"
               is what fr_kmeans_defaults gives (the same labels)
    update     new centroids from labels: ours, FAISS's (an iteration without its search), and plain sums over the
               points: by one thread, by all with atomic additions, by all with sums of their own. The mean of the first
               few iterations, in which we add up all points, and of 25, FAISS's own number, in the later of which we
               add up only those that moved
    lowd       few coordinates, clustered data, until nothing moves: against the faster of scikit-learn's two
    memory     ten million points: what is held beside points, labels and centroids
    outofcore  a file of four times the memory that is allowed, against the same points in memory, and what the disk gives

OpenBLAS is NumPy's; chunks of 512 rows go to threads of one BLAS thread each, and the sums to the C loop with sums of
their own of `update`. SuperKMeans, which FAISS has for 1024 centroids and more, is left out: it is approximate."""
import argparse
import ctypes
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
args.add_argument("--parts", default="grid,update,lowd,memory,outofcore")
args.add_argument("--threads", type=int, default=2)
args.add_argument("--rounds", type=int, default=3)
args.add_argument("--rest", type=float, default=0.2, help="seconds between two sides, in which threads of the last fall asleep")
args.add_argument("--quick", action="store_true", help="small sizes: whether it works, not how fast")
args.add_argument("--lib", default=os.path.join(HERE, "..", "build", "release", "bench", "libfrugal_bench.so"))
args.add_argument("--dir", default=tempfile.gettempdir(), help="for the file of the part outofcore")
args.add_argument("--worker", help=argparse.SUPPRESS)
args = args.parse_args()

# Before any of the libraries is loaded. The OpenBLAS of FAISS does not know newer processors, as in bench/run.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = str(args.threads)
with open("/proc/cpuinfo") as f:
    if " avx512vl" in f.read():
        os.environ.setdefault("OPENBLAS_CORETYPE", "SkylakeX")
os.environ["FRUGAL_LIBRARY"] = os.path.abspath(args.lib)
sys.path.insert(0, os.path.join(HERE, "..", "python"))

import numpy as np  # noqa: E402

from frugal.kmeans import GIVEN  # noqa: E402
from frugal.library import Out, Stats, check, lib, tensor  # noqa: E402

lib.fr_bench_kmeans_pool.restype = ctypes.c_void_p
lib.fr_bench_kmeans_peak.restype = ctypes.c_double
lib.fr_bench_kmeans_wake.argtypes = [ctypes.c_void_p, ctypes.c_double]
lib.fr_bench_kmeans_scatter.argtypes = [ctypes.c_void_p, ctypes.c_int] + [ctypes.c_void_p] * 2 + [ctypes.c_int64] * 3 + \
    [ctypes.c_void_p] * 2
LLOYD, F32 = 1, 1
PLAIN, ATOMIC, PRIVATE = range(3)


def say(text=""):
    print(text, flush=True)


def random_points(shape, seed=0, dtype=np.float32):
    """Normal numbers, without a second copy in f64."""
    return np.random.default_rng(seed).standard_normal(shape, dtype=dtype)


# ---- sides: each a function of points [B, N, D], start [B, K, D] and iterations that gives centroids, labels, details ----


def ours(x, start, iterations, tolerance=-1.0, products=0, method=0, memory=None, out_of_core=False, labels=True):
    b, n, _ = x.shape
    k = start.shape[1]
    o = lib.fr_kmeans_defaults(k)
    o.start, given = GIVEN, tensor(start)
    o.given = ctypes.pointer(given)
    o.iterations, o.tolerance, o.threads, o.products, o.method = iterations, tolerance, args.threads, products, method
    o.out_of_core = out_of_core
    if memory:
        o.memory = memory
    centroids, found, stats = np.empty_like(start), np.empty((b, n), np.int32), (Stats * b)()
    check(lib.fr_kmeans(tensor(x), o, Out(centroids.ctypes.data, found.ctypes.data, None, stats)))
    return centroids, found, stats


def ours_f32(x, start, iterations):
    return ours(x, start, iterations, products=F32, method=LLOYD)


def with_faiss(x, start, iterations, search=True):
    import faiss
    faiss.omp_set_num_threads(args.threads)
    centroids, labels, seconds = [], [], []
    for points, first in zip(x, start):
        k, d = first.shape
        p = faiss.ClusteringParameters()
        p.niter, p.nredo, p.min_points_per_centroid, p.max_points_per_centroid = iterations, 1, 1, 2**31 - 1
        p.use_super_kmeans = False
        c, index = faiss.Clustering(d, k, p), faiss.IndexFlatL2(d)
        faiss.copy_array_to_vector(first.ravel(), c.centroids)
        c.train(points, index)
        centroids.append(faiss.vector_to_array(c.centroids).reshape(k, d))
        labels.append(index.search(points, 1)[1].ravel() if search else 0)
        last = c.iteration_stats.at(c.iteration_stats.size() - 1)
        seconds.append((last.time - last.time_search) / iterations)
    return np.stack(centroids), np.stack(labels), seconds


def with_sklearn(x, start, iterations, algorithm="lloyd"):
    import warnings
    from sklearn.cluster import KMeans
    centroids, labels, inertia = [], [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for points, first in zip(x, start):
            m = KMeans(len(first), init=first, n_init=1, max_iter=iterations, tol=0, algorithm=algorithm).fit(points)
            centroids.append(m.cluster_centers_)
            labels.append(m.labels_)
            inertia.append((m.inertia_, m.n_iter_))
    return np.stack(centroids), np.stack(labels), inertia


def pool():
    """Threads for what is not of any side."""
    if not hasattr(pool, "made"):
        pool.made = lib.fr_bench_kmeans_pool(args.threads)
    return pool.made


def pause():
    time.sleep(args.rest)
    lib.fr_bench_kmeans_wake(pool(), 0.05)


class Scatter:
    """Sums of points by label in plain C."""

    def __init__(self, k, d):
        self.sum, self.count = np.empty((args.threads, k, d), np.float32), np.empty((args.threads, k), np.int32)

    def run(self, kind, x, labels):
        (n, d), k = x.shape, self.sum.shape[1]
        lib.fr_bench_kmeans_scatter(pool(), kind, x.ctypes.data, labels.ctypes.data, n, d, k, self.sum.ctypes.data,
                                    self.count.ctypes.data)
        return self.sum[0] / np.maximum(self.count[0], 1)[:, None]


def with_openblas(x, start, iterations, chunk=512):
    from multiprocessing.pool import ThreadPool
    from threadpoolctl import threadpool_limits
    b, n, d = x.shape
    k = start.shape[1]
    centroids, labels, scatter = start.copy(), np.empty((b, n), np.int32), Scatter(k, d)
    with threadpool_limits(1), ThreadPool(args.threads) as pool:
        for i in range(b):
            for turn in range(iterations + 1):
                c = centroids[i]
                twice, square = np.ascontiguousarray(-2 * c.T), (c * c).sum(1)

                def assign(at):
                    score = x[i, at:at + chunk] @ twice
                    score += square
                    labels[i, at:at + chunk] = score.argmin(1)

                pool.map(assign, range(0, n, chunk), 8)
                if turn < iterations:
                    c = scatter.run(PRIVATE, x[i], labels[i])
                    centroids[i] = np.where(scatter.count[0][:, None] > 0, c, centroids[i])
    return centroids, labels, None


def peers():
    found = {"OpenBLAS+argmin": with_openblas, "FAISS": with_faiss, "scikit-learn": with_sklearn}
    for name, module in [("FAISS", "faiss"), ("scikit-learn", "sklearn"), ("OpenBLAS+argmin", "threadpoolctl")]:
        try:
            __import__(module)
        except ImportError:
            say(f"({name} is left out: {module} is not installed; bench/peers installs it)")
            del found[name]
    x = random_points((1, 512, 16))
    for side in found.values():  # what a library does once is not measured
        side(x, x[:, :4].copy(), 1)
    return found


# ---- measuring ----


def inertia(x, centroids, labels):
    """In f64, a part at a time."""
    total = 0.0
    for points, c, l in zip(x, centroids, labels):
        for at in range(0, len(points), 65536):
            diff = points[at:at + 65536] - c[l[at:at + 65536]].astype(np.float64)
            total += float(np.einsum("ij,ij->", diff, diff))
    return total


def in_turn(sides, rounds, x, start, iterations):
    """Seconds of each side in each round, and what each gave in the last."""
    seconds, gave = {name: [] for name in sides}, {}
    for _ in range(rounds):
        for name, side in sides.items():
            pause()
            begin = time.perf_counter()
            gave[name] = side(x, start, iterations)
            seconds[name].append(time.perf_counter() - begin)
    return seconds, gave


def ratio(mine, others):
    return statistics.median(min(o[i] for o in others) / max(t, 1e-9) for i, t in enumerate(mine))


class Table:
    """Rows as they come."""

    def __init__(self, *head):
        self.width = [28] + [max(len(h), 7) for h in head[1:]]
        self.row(*head)

    def row(self, *cells):
        say("  " + "  ".join(str(v).ljust(w) if i == 0 else str(v).rjust(w) for i, (v, w) in enumerate(zip(cells, self.width))))


def ms(values):
    return f"{1000 * statistics.median(values):.1f}"


def grid():
    """B, N, K, iterations, rounds"""
    cells = [(1, 16384, 100, 10), (1, 16384, 1000, 5), (1, 32768, 100, 10), (1, 32768, 1000, 5), (1, 65536, 100, 10),
             (1, 65536, 1000, 4), (1, 131072, 100, 10), (1, 131072, 1000, 3), (4, 32768, 100, 5), (4, 16384, 1000, 4),
             (8, 16384, 100, 5), (8, 16384, 1000, 3), (1, 1 << 20, 1024, 1)]
    if args.quick:
        cells = [(1, 4096, 100, 3), (2, 2048, 64, 3)]
    sides = {"f32": ours_f32, "default": ours, **peers()}
    others = [s for s in sides if s not in ("f32", "default")]
    say(f"\ngrid: D 128, {args.threads} threads; milliseconds in all, ratios to the fastest peer of a round")
    table = Table("shape x iterations", *sides, "f32 ratio", "default ratio", "rechecked", "same bits", "inertia apart")
    ratios = ([], [])
    for b, n, k, iterations in cells:
        x = random_points((b, n, 128))
        start = np.ascontiguousarray(x[:, :: n // k][:, :k])
        rounds = 2 if n >= 1 << 19 else args.rounds
        seconds, gave = in_turn(sides, rounds, x, start, iterations)
        best = [seconds[o] for o in others] or [[float("nan")] * rounds]
        two = [ratio(seconds[s], best) for s in ("f32", "default")]
        some = slice(None, None, 1 if n < 1 << 19 else 8)  # of the large one, every eighth point is looked at
        sums = {s: inertia(x[:, some], g[0], g[1][:, some]) for s, g in gave.items()}
        apart = max(abs(v / sums["f32"] - 1) for v in sums.values())
        same = np.array_equal(gave["f32"][1], gave["default"][1]) and np.array_equal(gave["f32"][0], gave["default"][0])
        again = sum(s.rechecked for s in gave["default"][2]) / (b * n * (iterations + 1))
        table.row(f"B {b} N {n} K {k} x {iterations}", *[ms(seconds[s]) for s in sides], f"{two[0]:.2f}", f"{two[1]:.2f}",
                  f"{100 * again:.1f}%", "yes" if same else "NO", f"{apart:.1e}")
        ratios[0].append(two[0])
        ratios[1].append(two[1])
    for name, r, target in (("f32", ratios[0], 1.3), ("default", ratios[1], 2.5)):
        say(f"  {name}: median {statistics.median(r):.2f}, from {min(r):.2f} to {max(r):.2f} (target {target})")


def update():
    say(f"\nupdate: milliseconds an iteration, {args.threads} threads")
    has_faiss = "FAISS" in peers()
    table = Table("shape x iterations", "ours", "FAISS", "one thread", "atomic", "own sums", "to FAISS", "to one thread", "to atomic",
                  "to own sums")
    cells = [(131072, 100, 3), (131072, 1000, 3), (1 << 20, 1024, 1), (131072, 100, 25), (131072, 1000, 25), (1 << 20, 1024, 25)]
    for n, k, iterations in [(4096, 100, 3), (4096, 100, 25)] if args.quick else cells:
        x = random_points((1, n, 128), 1)
        start = np.ascontiguousarray(x[:, :: n // k][:, :k])
        labels = ours(x, start, iterations)[1]
        scatter, seconds = Scatter(k, 128), {s: [] for s in ("ours", "FAISS", "one thread", "atomic", "own sums")}
        for _ in range(args.rounds if n < 1 << 19 else 2):
            pause()
            seconds["ours"].append(ours(x, start, iterations)[2][0].update_seconds / iterations)
            if has_faiss:
                pause()
                seconds["FAISS"].append(with_faiss(x, start, iterations, search=False)[2][0])
            for name, kind in (("one thread", PLAIN), ("atomic", ATOMIC), ("own sums", PRIVATE)):
                begin = time.perf_counter()
                scatter.run(kind, x[0], labels[0])
                seconds[name].append(time.perf_counter() - begin)
        table.row(f"N {n} K {k} x {iterations}", *[ms(v) if v else "-" for v in seconds.values()],
                  *[f"{ratio(seconds['ours'], [v]):.1f}" if v else "-" for name, v in seconds.items() if name != "ours"])
    say("  target: 5 times FAISS's and the naive scatter's (one thread, atomic)")


def lowd():
    say(f"\nlowd: clustered data, tolerance 0, {args.threads} threads; milliseconds in all")
    if "scikit-learn" not in peers():
        return
    table = Table("shape", "ours", "lloyd", "elkan", "ratio", "iterations", "theirs", "products", "inertia apart")
    ratios, cells = [], [(4096, 2, 20, 20)] if args.quick else [(200000, 2, 100, 50), (200000, 8, 100, 50), (200000, 16, 256, 50),
                                                    (100000, 32, 256, 50)]
    for n, d, k, iterations in cells:
        r = np.random.default_rng(d)
        centers = r.uniform(-10, 10, (k, d))
        x = (centers[r.integers(k, size=n)] + r.normal(size=(n, d))).astype(np.float32)[None]
        start = np.ascontiguousarray(x[:, r.choice(n, k, replace=False)])
        sides = {"ours": lambda *a: ours(*a, tolerance=0.0),
                 "lloyd": with_sklearn, "elkan": lambda *a: with_sklearn(*a, algorithm="elkan")}
        seconds, gave = in_turn(sides, args.rounds, x, start, iterations)
        two = ratio(seconds["ours"], [seconds["lloyd"], seconds["elkan"]])
        s = gave["ours"][2][0]
        table.row(f"N {n} D {d} K {k}", *[ms(v) for v in seconds.values()], f"{two:.2f}", s.iterations,
                  gave["lloyd"][2][0][1], f"{100 * s.products / (n * k * s.iterations):.1f}%",
                  f"{abs(s.inertia / gave['lloyd'][2][0][0] - 1):.1e}")
        ratios.append(two)
    say(f"  median {statistics.median(ratios):.2f}, from {min(ratios):.2f} to {max(ratios):.2f} (target 5)")


def resident(peak):
    """Bytes of this process; peak: the most since it was last asked to forget that."""
    with open("/proc/self/status") as f:
        lines = dict(line.split(":", 1) for line in f)
    return 1024 * int(lines["VmHWM" if peak else "VmRSS"].split()[0])


def forget_peak():
    with open("/proc/self/clear_refs", "w") as f:
        f.write("5")


def memory_worker(n, d, k, iterations):
    x = np.empty((1, n, d), np.float32)
    for at in range(0, n, 1 << 18):
        x[0, at:at + (1 << 18)] = random_points((len(x[0, at:at + (1 << 18)]), d), at)
    start = np.ascontiguousarray(x[:, :: n // k][:, :k])
    for method in ("default", "f32 lloyd"):
        ours(x[:, :4096], start, 1)  # threads and tables are there
        labels_and_centroids = 4 * n + 4 * k * d
        ctypes.CDLL(None).malloc_trim(0)
        forget_peak()
        before = resident(False)
        lib.fr_bench_kmeans_peak(1)
        held = lib.fr_bench_kmeans_peak(0)
        begin = time.perf_counter()
        c, l, s = ours(x, start, iterations, **({} if method == "default" else {"products": F32, "method": LLOYD}))
        seconds = time.perf_counter() - begin
        counted = lib.fr_bench_kmeans_peak(0) - held
        seen = resident(True) - before - labels_and_centroids
        say(f"  {method:10} N {n} D {d} K {k}: {counted / 1e6:.1f} MB counted, {seen / 1e6:.1f} MB as the system sees it, "
            f"beside {4 * n * d / 1e6:.0f} MB of points and {labels_and_centroids / 1e6:.0f} MB of results; "
            f"{iterations} iterations in {seconds:.1f} s")


def join(group):
    if group != "-":
        with open(os.path.join(group, "cgroup.procs"), "w") as f:
            f.write(str(os.getpid()))


def outofcore_worker(group, path, n, d, k, iterations, allowed, products):
    """One run, with points in memory (allowed 0) or in the file; a group of the system holds memory to what is allowed."""
    join(group)
    x = np.memmap(path, np.float32, "r", shape=(1, n, d))
    start = np.ascontiguousarray(x[:, :: n // k][:, :k])
    if not allowed:
        x = np.array(x)
    io = {}
    for when in range(2):
        with open("/proc/self/io") as f:
            io[when] = int(dict(line.split(":") for line in f)["read_bytes"])
        if when == 0:
            begin = time.perf_counter()
            c, l, _ = ours(x, start, iterations, memory=allowed * 3 // 4 or None, out_of_core=bool(allowed), products=products)
            seconds = time.perf_counter() - begin
    print(seconds, io[1] - io[0], zlib.crc32(c.tobytes() + l.tobytes()))


def disk_worker(group, path):
    """The file read once by nobody's needs but the disk's: past the system's cache, 4 MiB at a time into huge pages, two at a
    time. (Into pages of 4 KiB a virtual disk may be half as fast.)"""
    import mmap
    from concurrent.futures import ThreadPoolExecutor
    join(group)
    piece, huge = 4 << 20, 2 << 20
    try:
        file = os.open(path, os.O_RDONLY | os.O_DIRECT)
    except OSError:
        file = os.open(path, os.O_RDONLY)
    size, free = os.fstat(file).st_size, []
    for _ in range(2):
        room = mmap.mmap(-1, piece + huge, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        room.madvise(mmap.MADV_HUGEPAGE)
        at = -ctypes.addressof(ctypes.c_char.from_buffer(room)) % huge
        free.append(memoryview(room)[at:at + piece])
        free[-1][::4096] = bytes(piece // 4096)

    def read(at):
        buffer = free.pop()
        os.preadv(file, [buffer], at)
        free.append(buffer)

    begin = time.perf_counter()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(read, range(0, size, piece)))
    print(time.perf_counter() - begin)


def group_of(allowed):
    """A group of processes whose memory, with the parts of files that the system keeps for it, is bounded; None: not here."""
    for root, limit in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")):
        path = os.path.join(root, f"frugal-bench-{os.getpid()}")
        try:
            os.mkdir(path)
            try:
                with open(os.path.join(path, limit), "w") as f:
                    f.write(str(allowed))
                return path
            except OSError:
                os.rmdir(path)
        except OSError:
            pass
    return None


def worker(kind, *numbers, **how):
    """In a process of its own, whose memory is that of this alone."""
    call = [sys.executable, os.path.abspath(__file__), "--threads", str(args.threads), "--lib", args.lib, "--worker",
            ",".join([kind, *map(str, numbers)])]
    done = subprocess.run(call, text=True, **how)
    if done.returncode:
        raise SystemExit(f"the part {kind} failed")
    return done.stdout


def memory():
    say(f"\nmemory: working memory beside points, labels and centroids (target: under 64 MB), {args.threads} threads")
    worker("memory", *((100000, 16, 64, 3) if args.quick else (10_000_000, 16, 100, 4)))


def outofcore():
    n, d, allowed = (20000, 128, 16 << 20) if args.quick else (1 << 20, 128, 128 << 20)
    cases = [("K 64", 64, 2, 0, 2)] if args.quick else [("K 1024", 1024, 4, 0, args.rounds), ("K 1024, products in f32", 1024, 2, F32,
              max(1, args.rounds - 1)), ("K 4096", 4096, 2, 0, (args.rounds + 1) // 2)]
    group = group_of(allowed)
    say(f"\noutofcore: N {n} D {d}, {4 * n * d / 1e6:.0f} MB, {args.threads} threads; the file is out of the system's cache before each "
        "run, " + (f"and no more than {allowed / 1e6:.0f} MB are there for all" if group else
                   "but then the system keeps of it what it likes: memory can not be bounded here"))
    with tempfile.NamedTemporaryFile(dir=args.dir, suffix=".f32") as f:
        for at in range(0, n, 1 << 16):
            random_points((min(n - at, 1 << 16), d), at).tofile(f)
        f.flush()
        os.fsync(f.fileno())

        def run(kind, group, *numbers):
            os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            return worker(kind, group or "-", f.name, *numbers, stdout=subprocess.PIPE).split()

        table = Table("M points/s", "in memory", "from the file", "share", "disk alone", "that allows", "share of both", "read", "same bits")
        for name, k, iterations, products, rounds in cases:
            seconds, read, sums, passes = {"memory": [], "file": [], "disk": []}, 0, set(), iterations + 2
            for _ in range(rounds):
                for side, call in (("memory", (None, 0)), ("file", (group, allowed))):
                    out = run("outofcore", call[0], n, d, k, iterations, call[1], products)
                    seconds[side].append(float(out[0]))
                    sums.add(out[2])
                    read = int(out[1])
                seconds["disk"].append(float(run("disk", group)[0]))
            turns = list(zip(*seconds.values()))
            share = statistics.median(m / f for m, f, _ in turns)
            bound = statistics.median(max(m, passes * disk) / f for m, f, disk in turns)
            rate = {side: passes * n / statistics.median(v) / 1e6 for side, v in seconds.items()}
            disk = statistics.median(seconds["disk"])
            table.row(f"{name}, {iterations} iterations", f"{rate['memory']:.2f}", f"{rate['file']:.2f}", f"{100 * share:.0f}%",
                      f"{4 * n * d / disk / 1e6:.0f} MB/s", f"{n / disk / 1e6:.2f}", f"{100 * bound:.0f}%", f"{read / 1e6:.0f} MB",
                      "yes" if len(sums) == 1 else "NO")
    if group:
        os.rmdir(group)
    say("  target: a share of 70%. A pass to check the points and one to label them come on top of the iterations; share of both: "
        "of the slower of\n  memory and disk, which is what can be had: it is more than 100% where rows that stay in memory save reading")


if args.worker:
    kind, *numbers = args.worker.split(",")
    {"memory": memory_worker, "outofcore": outofcore_worker, "disk": disk_worker}[kind](*[int(v) if v.isdigit() else v for v in numbers])
else:
    begin = time.time()
    for part in args.parts.split(","):
        {"grid": grid, "update": update, "lowd": lowd, "memory": memory, "outofcore": outofcore}[part]()
    say(f"\n{time.time() - begin:.0f} s; most memory of this process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MiB")
