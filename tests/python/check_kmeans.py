"""check_kmeans.py: the Python module, with the library that FRUGAL_LIBRARY names; with scikit-learn against it, too."""
import os
import sys
import tempfile
import unittest

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "python"))
from frugal import KMeans, MiniBatchKMeans, NotFittedError, cluster_order, version  # noqa: E402
from frugal import library  # noqa: E402


def blobs(n=3000, d=5, k=7, seed=1, dtype=np.float32):
    r = np.random.default_rng(seed)
    centers = r.normal(size=(k, d)) * 4
    return (centers[r.integers(k, size=n)] + r.normal(size=(n, d))).astype(dtype)


def plain(x, start, turns):
    """Lloyd's algorithm in f64, for tolerance 0 and data without empty clusters: centers and labels that belong together."""
    x, c = x.astype(np.float64), start.astype(np.float64)
    for turn in range(turns + 1):
        labels = ((x[:, None] - c[None]) ** 2).sum(-1).argmin(1)
        if turn < turns:
            c = np.stack([x[labels == j].mean(0) for j in range(len(c))])
    return c, labels


class Layout(unittest.TestCase):
    def test_the_structs_are_those_of_the_header(self):
        o = library.lib.fr_kmeans_defaults(7)
        self.assertEqual((o.k, o.iterations, o.tolerance, o.attempts, o.batch, o.memory), (7, 300, 1e-4, 1, 1024, 64 << 20))
        self.assertFalse(o.out_of_core or o.given or o.weights or o.on_iteration)
        self.assertRegex(version(), r"^\d+\.\d+\.\d+$")


class Fit(unittest.TestCase):
    def test_it_is_lloyds_algorithm(self):
        x = blobs()
        start = x[::400][:7].copy()
        m = KMeans(7, init=start, max_iter=5, tol=-1).fit(x)
        centers, labels = plain(x, start, 5)
        np.testing.assert_allclose(m.cluster_centers_, centers, rtol=1e-5, atol=1e-5)
        self.assertTrue((m.labels_ == labels).all())
        self.assertAlmostEqual(m.inertia_ / ((x - centers[labels]) ** 2).sum(), 1, places=5)
        self.assertEqual((m.n_iter_, m.n_features_in_), (5, 5))
        self.assertEqual(m.sizes_.tolist(), np.bincount(labels, minlength=7).tolist())
        self.assertEqual((m.labels_.dtype, m.cluster_centers_.dtype), (np.int32, np.float32))

    def test_arrays_are_read_where_they_lie(self):
        x = blobs(2000, 6)
        start = x[::300][:6].copy()
        whole = KMeans(6, init=start, max_iter=4, tol=-1).fit(x)
        wide = np.zeros((2000, 20), np.float32)
        wide[:, 3:15:2] = x
        for other in (wide[:, 3:15:2], np.asfortranarray(x), x.astype(np.float64), np.repeat(x, 2, 0)[::2]):
            m = KMeans(6, init=start, max_iter=4, tol=-1).fit(other)
            self.assertTrue((m.cluster_centers_ == whole.cluster_centers_).all() and (m.labels_ == whole.labels_).all())
        half = x.astype(np.float16)
        a = KMeans(6, init=start, max_iter=4, tol=-1).fit(half)
        b = KMeans(6, init=start, max_iter=4, tol=-1).fit(half.astype(np.float32))
        self.assertTrue((a.labels_ == b.labels_).all() and (a.cluster_centers_ == b.cluster_centers_).all())
        back = KMeans(6, init=start, max_iter=4, tol=-1).fit(x[::-1])
        self.assertTrue((back.labels_[::-1] == KMeans(6, init=start, max_iter=4, tol=-1).fit(x[::-1].copy()).labels_[::-1]).all())

    def test_threads_methods_and_products_do_not_change_a_bit(self):
        x = blobs(5000, 9, 12)
        first = KMeans(12, random_state=3, n_jobs=1, algorithm="lloyd", products="f32").fit(x)
        for more in ({"n_jobs": 2}, {"algorithm": "yinyang"}, {"algorithm": "hamerly"}, {"products": "bf16"}, {}):
            m = KMeans(12, random_state=3, **more).fit(x)
            self.assertTrue((m.labels_ == first.labels_).all() and (m.cluster_centers_ == first.cluster_centers_).all(), more)

    def test_problems_at_once_are_problems_alone(self):
        x = np.stack([blobs(900, 4, 5, seed) for seed in range(3)])
        start = x[:, ::180].copy()
        m = KMeans(5, init=start, max_iter=6).fit(x)
        self.assertEqual((m.cluster_centers_.shape, m.labels_.shape, m.inertia_.shape), ((3, 5, 4), (3, 900), (3,)))
        for b in range(3):
            alone = KMeans(5, init=start[b], max_iter=6).fit(x[b])
            self.assertTrue((alone.labels_ == m.labels_[b]).all() and alone.inertia_ == m.inertia_[b])
        self.assertTrue((m.predict(x) == m.labels_).all())

    def test_weights_count(self):
        x = blobs(600, 3, 4)
        w = np.random.default_rng(5).integers(0, 4, len(x)).astype(np.float32)
        start = x[:4].copy()
        a = KMeans(4, init=start, max_iter=8, tol=-1).fit(x, sample_weight=w)
        b = KMeans(4, init=start, max_iter=8, tol=-1).fit(np.repeat(x, w.astype(int), 0))
        np.testing.assert_allclose(a.cluster_centers_, b.cluster_centers_, rtol=1e-5, atol=1e-5)
        self.assertAlmostEqual(a.inertia_ / b.inertia_, 1, places=5)

    def test_starts(self):
        x = blobs(3000, 4, 8)
        worst = KMeans(8, init="random", n_init=1, random_state=2).fit(x).inertia_
        best = KMeans(8, init="random", n_init=10, random_state=2).fit(x).inertia_
        self.assertLessEqual(best, worst)
        for init in ("k-means++", "k-means||"):
            a, b = (KMeans(8, init=init, random_state=4).fit(x) for _ in range(2))
            self.assertTrue((a.labels_ == b.labels_).all())

    def test_mini_batches_come_near(self):
        x = blobs(4000, 3, 6)
        m = MiniBatchKMeans(6, random_state=0, batch_size=256).fit(x)
        self.assertLess(m.inertia_, 2 * KMeans(6, random_state=0).fit(x).inertia_)
        self.assertEqual(m.stats_["method"], "minibatch")
        self.assertTrue((m.predict(x) == m.labels_).all())

    def test_a_mapped_file(self):
        x = blobs(20000, 8, 6)
        with tempfile.NamedTemporaryFile(suffix=".npy") as f:
            np.save(f.name, x)
            mapped = np.load(f.name, mmap_mode="r")
            a = KMeans(6, random_state=1, max_iter=5, out_of_core=True, memory=1 << 20).fit(mapped)
            b = KMeans(6, random_state=1, max_iter=5).fit(x)
            self.assertTrue((a.labels_ == b.labels_).all() and (a.cluster_centers_ == b.cluster_centers_).all())
            del mapped


class Use(unittest.TestCase):
    def setUp(self):
        self.x = blobs()
        self.m = KMeans(7, random_state=1).fit(self.x)

    def test_predict_transform_score(self):
        d = self.m.transform(self.x)
        self.assertEqual(d.shape, (3000, 7))
        self.assertTrue((self.m.predict(self.x) == self.m.labels_).all())
        self.assertTrue((d.argmin(1) == self.m.labels_).mean() > 0.999)
        self.assertAlmostEqual(-self.m.score(self.x) / self.m.inertia_, 1, places=5)
        self.assertTrue((KMeans(7, random_state=1).fit_predict(self.x) == self.m.labels_).all())
        with self.assertRaises(NotFittedError):
            KMeans(3).predict(self.x)

    def test_cosine_and_dot(self):
        x = self.x + 3
        m = KMeans(5, metric="cosine", random_state=1).fit(x)
        np.testing.assert_allclose(np.linalg.norm(m.cluster_centers_, axis=1), 1, rtol=1e-5)
        self.assertTrue((m.predict(100 * x) == m.labels_).mean() > 0.999)
        self.assertTrue((m.transform(x).argmin(1) == m.labels_).mean() > 0.999)
        self.assertEqual(len(KMeans(5, metric="dot", random_state=1).fit(x).labels_), len(x))

    def test_the_order_of_clusters(self):
        order, offset = cluster_order(self.m.labels_, 7)
        for j in range(7):
            self.assertTrue((order[offset[j]:offset[j + 1]] == np.flatnonzero(self.m.labels_ == j)).all())

    def test_what_scikit_learns_tools_ask_for(self):
        params = self.m.get_params()
        self.assertEqual((params["n_clusters"], params["random_state"]), (7, 1))
        self.assertEqual(KMeans(**params).set_params(n_clusters=3).n_clusters, 3)
        self.assertEqual(repr(KMeans(3, tol=0)), "KMeans(n_clusters=3, tol=0)")
        self.assertNotIn("algorithm", MiniBatchKMeans().get_params())

    def test_ctrl_c_comes_out(self):
        class Loud(KMeans):
            def _watch(self, o, raised):
                def stop(_, p):
                    raised.append(KeyboardInterrupt())
                    return False
                o.on_iteration = library.ON_ITERATION(stop)
        with self.assertRaises(KeyboardInterrupt):
            Loud(7, random_state=1).fit(self.x)


class Refusals(unittest.TestCase):
    def refuses(self, words, call, kind=ValueError):
        with self.assertRaisesRegex(kind, words):
            call()

    def test_sentences(self):
        x = blobs(50, 3, 2)
        bad = x.copy()
        bad[17, 1] = np.nan
        self.refuses("17", lambda: KMeans(2).fit(bad))
        self.refuses("50", lambda: KMeans(51).fit(x))
        self.refuses("n_clusters", lambda: KMeans(0).fit(x))
        self.refuses("metric", lambda: KMeans(2, metric="manhattan").fit(x))
        self.refuses("init", lambda: KMeans(2, init=x[:3]).fit(x))
        self.refuses("sample_weight", lambda: KMeans(2).fit(x, sample_weight=np.ones(3)))
        self.refuses("dimensions", lambda: KMeans(2).fit(x[0]))
        self.refuses("real", lambda: KMeans(2).fit(x + 1j))
        self.refuses("no points", lambda: KMeans(2).fit(x[:0]))
        self.refuses("go with", lambda: KMeans(2).fit(x).predict(x[:, :2]))
        zero = x.copy()
        zero[3] = 0
        self.refuses("3", lambda: KMeans(2, metric="cosine").fit(zero))


class Beside(unittest.TestCase):
    def test_scikit_learn_finds_the_same(self):
        try:
            from sklearn.cluster import KMeans as Theirs
        except ImportError:
            self.skipTest("scikit-learn is not here")
        x = blobs(4000, 6, 10)
        start = x[::400].copy()
        a = KMeans(10, init=start, tol=0).fit(x)
        b = Theirs(10, init=start, n_init=1, tol=0).fit(x)
        self.assertAlmostEqual(a.inertia_ / b.inertia_, 1, places=5)
        self.assertGreater((a.labels_ == b.labels_).mean(), 0.999)


    def test_it_stands_in_a_pipeline(self):
        try:
            from sklearn.base import clone
            from sklearn.pipeline import make_pipeline
            from sklearn.preprocessing import StandardScaler
        except ImportError:
            self.skipTest("scikit-learn is not here")
        x = blobs(500, 4, 3)
        line = make_pipeline(StandardScaler(), clone(KMeans(3, random_state=0))).fit(x)
        self.assertEqual(sorted(set(line.predict(x).tolist())), [0, 1, 2])
        self.assertLess(line.score(x), 0)


if __name__ == "__main__":
    unittest.main()
