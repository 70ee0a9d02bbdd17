#!/usr/bin/env python3
"""Golden files for exact k-means: what scikit-learn's Lloyd makes of points and first centroids, in doubles.

    tests/golden/cluster/kmeans.safetensors

For each case <c>: <c>.points, <c>.start, <c>.weights (or none), and for <i> iterations (0: until no label changes)
<c>.<i>.labels, <c>.<i>.centroids, <c>.<i>.inertia, <c>.<i>.iterations; tolerance 0.

    python tests/oracle/make_kmeans.py       needs numpy, safetensors and scikit-learn
"""
import os

import numpy as np
from safetensors.numpy import save_file
from sklearn.cluster import KMeans

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "cluster")
rng = np.random.default_rng(6)


def clustered(n, d, centers):
    c = rng.normal(size=(centers, d)) * 4
    return (c[rng.integers(0, centers, n)] + rng.normal(size=(n, d))).astype(np.float32)


def cases():
    x = rng.normal(size=(300, 5)).astype(np.float32)
    yield "random", x, x[:9].copy(), None
    x = clustered(600, 2, 6)
    yield "clustered", x, x[:11].copy(), None
    x = clustered(300, 3, 5)
    yield "weighted", x, x[:6].copy(), rng.uniform(0, 3, 300).astype(np.float32)
    x = clustered(250, 4, 4)
    start = x[:5].copy()
    start[3] = 1000  # nobody's: the farthest point becomes its place
    yield "empty", x, start, None
    x = rng.normal(size=(120, 40)).astype(np.float32) + 10
    yield "wide", x, x[:7].copy(), None
    yield "line", rng.normal(size=(500, 1)).astype(np.float32), np.array([[-1], [0], [0.5]], np.float32), None


tensors = {}
for name, x, start, weights in cases():
    tensors[f"{name}.points"] = x
    tensors[f"{name}.start"] = start
    if weights is not None:
        tensors[f"{name}.weights"] = weights
    for i in (1, 2, 5, 0):
        km = KMeans(len(start), init=start.astype(np.float64), n_init=1, max_iter=i or 500, tol=0, algorithm="lloyd")
        km.fit(x.astype(np.float64), sample_weight=None if weights is None else weights.astype(np.float64))
        tensors[f"{name}.{i}.labels"] = km.labels_.astype(np.int32)
        tensors[f"{name}.{i}.centroids"] = km.cluster_centers_.astype(np.float32)
        tensors[f"{name}.{i}.inertia"] = np.array([km.inertia_], np.float32)
        tensors[f"{name}.{i}.iterations"] = np.array([km.n_iter_], np.int32)

os.makedirs(OUT, exist_ok=True)
save_file(tensors, os.path.join(OUT, "kmeans.safetensors"))
