"""llama.cpp's matrix products, from the libraries inside the package llama-cpp-python: a graph of one node on
ggml's processor backend."""
import ctypes
import glob
import os
import sys

import numpy as np

Q4_0, Q8_0, Q4_K = 2, 8, 12  # numbers of ggml's types
PERIOD = 256  # rows of a weight that differ; their quantizer is slow, and the values make no difference
PTR = ctypes.c_void_p


class GgmlParams(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("memory", PTR), ("no_alloc", ctypes.c_bool)]


class Ggml:
    """ggml's processor backend with a number of threads."""

    def __init__(self):
        found = [d for p in sys.path for d in glob.glob(os.path.join(p, "llama_cpp", "lib"))]
        if not found:
            raise OSError("the package llama-cpp-python is not installed; bench/peers installs it")
        names = ("libggml-base.so", "libggml-cpu.so")
        self.base, self.cpu = (ctypes.CDLL(os.path.join(found[0], n), ctypes.RTLD_GLOBAL) for n in names)
        for lib, result, names in (
                (self.base, PTR, "ggml_init ggml_new_tensor_2d ggml_mul_mat ggml_new_graph "
                 "ggml_backend_alloc_ctx_tensors_from_buft ggml_backend_buft_name "
                 "ggml_backend_reg_get_proc_address ggml_backend_reg_dev_get"),
                (self.base, ctypes.c_size_t, "ggml_quantize_chunk ggml_row_size"),
                (self.base, None, "ggml_backend_tensor_set ggml_backend_tensor_get ggml_free "
                 "ggml_backend_buffer_free ggml_build_forward_expand ggml_backend_free"),
                (self.base, ctypes.c_int, "ggml_backend_graph_compute"),
                (self.base, ctypes.c_bool, "ggml_backend_dev_supports_op"),
                (self.cpu, PTR, "ggml_backend_cpu_init ggml_backend_cpu_reg"),
                (self.cpu, None, "ggml_backend_cpu_set_n_threads")):
            for name in names.split():
                function = getattr(lib if hasattr(lib, name) else self.base, name)
                function.restype = result
                setattr(self, name[5:], function)
        self.quiet = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, PTR)(lambda level, text, arg: None)
        self.base.ggml_log_set(self.quiet, None)
        self.new_tensor_2d.argtypes = [PTR, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
        self.init.argtypes = [GgmlParams]
        reg = PTR(self.backend_cpu_reg())
        self.device = PTR(self.backend_reg_dev_get(reg, ctypes.c_size_t(0)))
        self.backend = PTR(self.backend_cpu_init())
        self.base.ggml_backend_cpu_buffer_type.restype = PTR
        self.layouts = {"plain": PTR(self.base.ggml_backend_cpu_buffer_type())}
        extra = self.backend_reg_get_proc_address(reg, b"ggml_backend_dev_get_extra_bufts")
        if extra:
            kinds = ctypes.CFUNCTYPE(ctypes.POINTER(PTR), PTR)(extra)(self.device)
            i = 0
            while kinds and kinds[i]:
                name = ctypes.string_at(self.backend_buft_name(PTR(kinds[i]))).decode()
                self.layouts[name] = PTR(kinds[i])
                i += 1

    def features(self):
        names = "avx2 avx512 avx512_vnni avx512_bf16 amx_int8 llamafile neon dotprod".split()
        return [n for n in names if getattr(self.cpu, "ggml_cpu_has_" + n)()]


class GgmlLinear:
    """x [m, k] times a weight [n, k], one graph of one node for each copy of the weight."""

    def __init__(self, ggml, kind, layout, x, w, copies):
        self.ggml, self.at, (m, k), n = ggml, 0, x.shape, w.shape[0]
        self.parts, self.graphs = [], []
        weights = self.context()
        tensors = [PTR(ggml.new_tensor_2d(weights, kind, k, n)) for _ in range(copies)]
        self.allocate(weights, layout)
        rows = self.context()
        self.x = PTR(ggml.new_tensor_2d(rows, 0, k, m))
        self.y = [PTR(ggml.mul_mat(rows, t, self.x)) for t in tensors]
        self.allocate(rows, "plain")
        if not ggml.backend_dev_supports_op(ggml.device, self.y[0]):
            self.free()
            raise ValueError("no such product")
        row = ggml.row_size(ctypes.c_int(kind), ctypes.c_int64(k))
        data = np.empty(row * PERIOD, np.uint8)
        ggml.quantize_chunk(ctypes.c_int(kind), PTR(w.ctypes.data), PTR(data.ctypes.data), ctypes.c_int64(0),
                            ctypes.c_int64(PERIOD), ctypes.c_int64(k), None)
        data = np.tile(data, n // PERIOD)
        for t in tensors:
            ggml.backend_tensor_set(t, PTR(data.ctypes.data), ctypes.c_size_t(0), ctypes.c_size_t(data.size))
        ggml.backend_tensor_set(self.x, PTR(x.ctypes.data), ctypes.c_size_t(0), ctypes.c_size_t(x.nbytes))
        self.shape, self.bytes = (m, n), data.size
        for y in self.y:
            self.graphs.append(PTR(ggml.new_graph(self.context())))
            ggml.build_forward_expand(self.graphs[-1], y)

    def context(self):
        self.parts.append((self.ggml.free, PTR(self.ggml.init(GgmlParams(1 << 20, None, True)))))
        return self.parts[-1][1]

    def allocate(self, context, layout):
        buffer = self.ggml.backend_alloc_ctx_tensors_from_buft(context, self.ggml.layouts[layout])
        if not buffer:
            raise MemoryError("ggml gave no buffer")
        self.parts.append((self.ggml.backend_buffer_free, PTR(buffer)))

    def run(self):
        self.at = (self.at + 1) % len(self.graphs)
        if self.ggml.backend_graph_compute(self.ggml.backend, self.graphs[self.at]):
            raise RuntimeError("ggml refused the graph")

    def result(self):
        y = np.empty(self.shape, np.float32)
        self.ggml.backend_tensor_get(self.y[self.at], PTR(y.ctypes.data), ctypes.c_size_t(0),
                                     ctypes.c_size_t(y.nbytes))
        return y

    def free(self):
        for free, what in reversed(self.parts):
            free(what)
