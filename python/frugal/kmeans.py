"""KMeans and MiniBatchKMeans with the names of scikit-learn, by Frugal's exact k-means."""
import ctypes
import inspect

import numpy as np

from .library import ON_ITERATION, Options, Out, Stats, check, lib, pointer, points, tensor

METRICS = {"euclidean": 0, "euclid": 0, "cosine": 1, "dot": 2}
STARTS = {"k-means++": 0, "k-means||": 1, "random": 2}
GIVEN = 3
METHODS = {"auto": 0, "elkan": 0, "lloyd": 1, "hamerly": 2, "yinyang": 3}
MINIBATCH = 4
EMPTIES = {"farthest": 0, "keep": 1, "split": 2, "refuse": 3}
PRODUCTS = {"auto": 0, "f32": 1, "bf16": 2, "int8": 3}
NAMES = ["auto", "lloyd", "hamerly", "yinyang", "minibatch"]


class NotFittedError(ValueError, AttributeError):
    """predict, transform or score before fit."""


def choose(what, word, words):
    if isinstance(word, str) and word in words:
        return words[word]
    raise ValueError(f"{what} is one of {', '.join(words)}, not {word!r}.")


def seed_of(state):
    """None is 0: the same call gives the same result."""
    if state is None:
        return 0
    if hasattr(state, "integers"):
        return int(state.integers(2**63))
    if hasattr(state, "randint"):
        return int(state.randint(2**31 - 1))
    if int(state) < 0:
        raise ValueError(f"random_state is not negative, and {state} is.")
    return int(state)


def shape_of(x, what="X"):
    """Points, points of a problem, coordinates; problems is None for a plain list of points."""
    if x.ndim not in (2, 3):
        raise ValueError(f"{what} has {x.ndim} dimensions; points are [N, D], and problems of points [B, N, D].")
    if min(x.shape) < 1:
        raise ValueError(f"{what} is {list(x.shape)}, so there are no points.")
    return (x.shape[0] if x.ndim == 3 else None), x.shape[-2], x.shape[-1]


class KMeans:
    """Exact k-means: `fit` finds n_clusters centers such that points lie near to theirs.

    X is an array [N, D] of float32, float16 or bfloat16 with any strides, which is read where it lies; float64 and
    integers are copied to float32. [B, N, D] is B problems at once, and what is found has that dimension, too.

    init        'k-means++', 'k-means||' (for many points), 'random', or an array of centers to go on from
    n_init      starts, of which the best is kept; 'auto': 10 for 'random', else 1
    algorithm   'auto', 'lloyd', 'hamerly', 'yinyang': the same result in another time ('elkan' is 'auto')
    metric      'euclidean', 'cosine', 'dot'
    empty       a center without points: 'farthest' (moves to the farthest point), 'keep', 'split', 'refuse' (an error)
    products    'auto', 'f32', 'bf16', 'int8': the same labels
    n_jobs      threads; None: all processors. The result has the same bits for any number
    memory      bytes of working memory; None: 64 MiB
    out_of_core X is a mapped file (numpy.memmap) larger than memory: read it ahead, forget it behind

    Of scikit-learn's it has cluster_centers_, labels_, inertia_, n_iter_ and n_features_in_ after fit; also sizes_
    (points of each cluster) and stats_ (what was computed, and how long it took)."""

    def __init__(self, n_clusters=8, *, init="k-means++", n_init="auto", max_iter=300, tol=1e-4, verbose=0,
                 random_state=None, algorithm="auto", metric="euclidean", empty="farthest", products="auto", n_jobs=None,
                 memory=None, out_of_core=False):
        self.n_clusters, self.init, self.n_init, self.max_iter, self.tol = n_clusters, init, n_init, max_iter, tol
        self.verbose, self.random_state, self.algorithm, self.metric = verbose, random_state, algorithm, metric
        self.empty, self.products, self.n_jobs, self.memory, self.out_of_core = empty, products, n_jobs, memory, out_of_core

    # ---- what scikit-learn's tools ask for ----

    def get_params(self, deep=True):
        return {name: getattr(self, name) for name in inspect.signature(type(self).__init__).parameters if name != "self"}

    def set_params(self, **params):
        for name, value in params.items():
            if name not in self.get_params():
                raise ValueError(f"{type(self).__name__} has no parameter {name!r}.")
            setattr(self, name, value)
        return self

    def __sklearn_tags__(self):
        from sklearn.base import BaseEstimator  # who asks has it
        tags = BaseEstimator.__sklearn_tags__(self)
        tags.estimator_type = "clusterer"
        return tags

    def __repr__(self):
        plain = {n: p.default for n, p in inspect.signature(type(self).__init__).parameters.items()}
        mine = [f"{n}={v!r}" for n, v in self.get_params().items() if isinstance(v, np.ndarray) or v != plain[n]]
        return f"{type(self).__name__}({', '.join(mine)})"

    # ---- work ----

    def _options(self):
        k = int(self.n_clusters)
        if k != self.n_clusters or k < 1:
            raise ValueError(f"n_clusters is a whole number from 1, not {self.n_clusters!r}.")
        o = lib.fr_kmeans_defaults(k)
        o.metric = choose("metric", self.metric, METRICS)
        o.products = choose("products", self.products, PRODUCTS)
        o.threads = 0 if self.n_jobs is None or self.n_jobs < 0 else int(self.n_jobs)
        o.out_of_core = bool(self.out_of_core)
        if self.memory is not None:
            o.memory = int(self.memory)
        return o

    def _method(self, o):
        o.method = choose("algorithm", self.algorithm, METHODS)

    def _watch(self, o, raised):
        """Between iterations: what was asked to be said, and Ctrl-C."""
        def on_iteration(_, p):
            try:
                if self.verbose:
                    print(f"attempt {p[0].attempt}, iteration {p[0].iteration}: inertia {p[0].inertia:.8g}, "
                          f"{p[0].moved} moved", flush=True)
                return True
            except BaseException as e:  # nothing may fly through C
                raised.append(e)
                return False
        o.on_iteration = ON_ITERATION(on_iteration)

    def fit(self, X, y=None, sample_weight=None):
        x = points(X)
        problems, n, width = shape_of(x)
        o, keep, raised = self._options(), [], []
        self._method(o)
        o.empty = choose("empty", self.empty, EMPTIES)
        if isinstance(self.init, str):
            o.start = choose("init", self.init, STARTS)
        else:
            keep.append(points(self.init, "init"))
            keep.append(tensor(keep[-1]))
            o.start, o.given = GIVEN, ctypes.pointer(keep[-1])
            if keep[0].shape[-2:] != (o.k, width):
                raise ValueError(f"init is {list(keep[0].shape)}, and {o.k} centers of {width} coordinates are wanted.")
        drawn = isinstance(self.init, str) and self.init == "random"
        o.attempts = int(self.n_init) if self.n_init != "auto" else 10 if drawn else 1
        if sample_weight is not None:
            w = np.ascontiguousarray(sample_weight, np.float32)
            if w.shape != x.shape[:-1]:
                raise ValueError(f"sample_weight is {list(w.shape)}, and X is {list(x.shape)}.")
            keep += [w, tensor(w)]
            o.weights = ctypes.pointer(keep[-1])
        o.iterations, o.tolerance, o.seed = int(self.max_iter), float(self.tol), seed_of(self.random_state)
        self._watch(o, raised)
        if o.k > n:
            raise ValueError(f"X holds {n} points, too few for {o.k} clusters.")
        lead = () if problems is None else (problems,)
        centers, labels = np.empty(lead + (o.k, width), np.float32), np.empty(lead + (n,), np.int32)
        sizes, stats = np.empty(lead + (o.k,), np.int64), (Stats * (problems or 1))()
        out = Out(centers.ctypes.data, labels.ctypes.data, sizes.ctypes.data, stats)
        check(lib.fr_kmeans(tensor(x), o, out))
        if raised:
            raise raised[0]
        self.cluster_centers_, self.labels_, self.sizes_, self.n_features_in_ = centers, labels, sizes, width
        self.stats_ = [{name: getattr(s, name) for name, _ in Stats._fields_} for s in stats]
        for s in self.stats_:
            s["method"] = NAMES[s["method"]]
        self.inertia_ = stats[0].inertia if problems is None else np.array([s.inertia for s in stats])
        self.n_iter_ = max(s.iterations for s in stats)
        if problems is None:
            self.stats_ = self.stats_[0]
        return self

    def _nearest(self, X, distances):
        if not hasattr(self, "cluster_centers_"):
            raise NotFittedError(f"This {type(self).__name__} has no centers yet: call fit first.")
        x = points(X)
        problems, n, width = shape_of(x)
        if width != self.n_features_in_ or x.shape[:-2] != self.cluster_centers_.shape[:-2]:
            raise ValueError(f"X is {list(x.shape)}, which does not go with centers of {list(self.cluster_centers_.shape)}.")
        labels = np.empty(x.shape[:-1], np.int32)
        d = np.empty(x.shape[:-1], np.float32) if distances else None
        o, centers = self._options(), np.ascontiguousarray(self.cluster_centers_, np.float32)
        o.k = centers.shape[-2]
        check(lib.fr_kmeans_predict(tensor(x), tensor(centers), o, pointer(labels, ctypes.c_int32),
                                    pointer(d, ctypes.c_float)))
        return labels, d

    def predict(self, X):
        """The nearest center of each point."""
        return self._nearest(X, False)[0]

    def fit_predict(self, X, y=None, sample_weight=None):
        return self.fit(X, sample_weight=sample_weight).labels_

    def transform(self, X):
        """From every point to every center: distances, 1 - cosine, or minus the product."""
        if not hasattr(self, "cluster_centers_"):
            raise NotFittedError(f"This {type(self).__name__} has no centers yet: call fit first.")
        x, c = np.asarray(X, np.float64), self.cluster_centers_.astype(np.float64)
        metric = choose("metric", self.metric, METRICS)
        if metric == METRICS["cosine"]:
            x = x / np.linalg.norm(x, axis=-1, keepdims=True)
        products = x @ np.swapaxes(c, -1, -2)
        if metric:
            return metric % 2 - products
        square = (x * x).sum(-1)[..., None] + (c * c).sum(-1)[..., None, :] - 2 * products
        return np.sqrt(np.maximum(square, 0))  # in f64: what cancels here is small

    def fit_transform(self, X, y=None, sample_weight=None):
        return self.fit(X, sample_weight=sample_weight).transform(X)

    def score(self, X, y=None, sample_weight=None):
        """Minus the inertia of points with their nearest centers."""
        d = self._nearest(X, True)[1].astype(np.float64)
        return -float((d if sample_weight is None else d * np.asarray(sample_weight)).sum())


class MiniBatchKMeans(KMeans):
    """Mini-batches (Sculley 2010): another algorithm, which only comes near to what KMeans finds, and sooner."""

    def __init__(self, n_clusters=8, *, init="k-means++", n_init="auto", max_iter=100, batch_size=1024, tol=1e-4, verbose=0,
                 random_state=None, metric="euclidean", empty="farthest", products="auto", n_jobs=None, memory=None,
                 out_of_core=False):
        super().__init__(n_clusters, init=init, n_init=n_init, max_iter=max_iter, tol=tol, verbose=verbose,
                         random_state=random_state, metric=metric, empty=empty, products=products, n_jobs=n_jobs,
                         memory=memory, out_of_core=out_of_core)
        self.batch_size = batch_size
        del self.algorithm

    def _method(self, o):
        o.method, o.batch = MINIBATCH, int(self.batch_size)


def cluster_order(labels, n_clusters):
    """Points by cluster: `order[offset[j]:offset[j + 1]]` are the numbers of the points of cluster j, rising."""
    labels = np.ascontiguousarray(labels, np.int32)
    if labels.ndim != 1:
        raise ValueError(f"Labels are a list, and these are {list(labels.shape)}.")
    order, offset = np.empty(len(labels), np.int32), np.empty(n_clusters + 1, np.int64)
    check(lib.fr_kmeans_order(pointer(labels, ctypes.c_int32), len(labels), n_clusters, pointer(order, ctypes.c_int32),
                              pointer(offset, ctypes.c_int64)))
    return order, offset
