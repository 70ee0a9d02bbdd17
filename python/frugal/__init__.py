"""Frugal from Python: a thin layer over its C library, with NumPy arrays read where they lie.

    from frugal import KMeans
    model = KMeans(n_clusters=100, random_state=1).fit(x)
    model.cluster_centers_, model.labels_, model.inertia_
"""
from .kmeans import KMeans, MiniBatchKMeans, NotFittedError, cluster_order
from .library import version

__all__ = ["KMeans", "MiniBatchKMeans", "NotFittedError", "cluster_order", "version"]
