"""Finds libfrugal and says in ctypes what <frugal/types.h> and <frugal/kmeans.h> say in C."""
import ctypes
import ctypes.util
import os
from ctypes import POINTER, Structure, c_bool, c_char_p, c_double, c_float, c_int, c_int32, c_int64, c_uint64, c_void_p

import numpy as np

OK, INVALID, IO, FORMAT, NOMEM, UNSUPPORTED, INTERRUPTED = range(7)
F32, F16, BF16 = 1, 2, 3
MAX_DIMS = 5


class Tensor(Structure):
    _fields_ = [("dtype", c_int), ("rank", c_int), ("dim", c_int64 * MAX_DIMS), ("stride", c_int64 * MAX_DIMS),
                ("data", c_void_p)]


class Progress(Structure):
    _fields_ = [("problem", c_int64), ("attempt", c_int64), ("iteration", c_int64), ("inertia", c_double),
                ("moved", c_int64), ("seconds", c_double)]


ON_ITERATION = ctypes.CFUNCTYPE(c_bool, c_void_p, POINTER(Progress))


class Options(Structure):
    _fields_ = [("k", c_int64), ("metric", c_int), ("start", c_int), ("method", c_int), ("empty", c_int),
                ("products", c_int), ("given", POINTER(Tensor)), ("weights", POINTER(Tensor)), ("iterations", c_int64),
                ("tolerance", c_double), ("attempts", c_int64), ("batch", c_int64), ("seed", c_uint64),
                ("threads", c_int), ("memory", c_int64), ("out_of_core", c_bool), ("on_iteration", ON_ITERATION),
                ("arg", c_void_p)]


class Stats(Structure):
    _fields_ = [("inertia", c_double), ("iterations", c_int64), ("converged", c_bool), ("method", c_int),
                ("products", c_int64), ("rechecked", c_int64), ("empty", c_int64), ("start_seconds", c_double),
                ("assign_seconds", c_double), ("update_seconds", c_double)]


class Out(Structure):
    _fields_ = [("centroids", c_void_p), ("labels", c_void_p), ("sizes", c_void_p), ("stats", POINTER(Stats))]


def candidates():
    """Where the library may lie: what FRUGAL_LIBRARY names, the tree that this file is in, the system."""
    named = os.environ.get("FRUGAL_LIBRARY")
    if named:
        return [named]
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    built = [os.path.join(root, "build", "release", "libfrugal.so")]
    return [p for p in built if os.path.exists(p)] + [ctypes.util.find_library("frugal") or "libfrugal.so.0"]


def load():
    """The library, with the types of the functions that are called."""
    tried = []
    for path in candidates():
        try:
            lib = ctypes.CDLL(path)
            break
        except OSError as e:
            tried.append(str(e))
    else:
        raise ImportError(f"The library libfrugal was not found ({'; '.join(tried)}): build and install Frugal, or let "
                          "FRUGAL_LIBRARY name it.")
    lib.fr_message.restype = lib.fr_version.restype = c_char_p
    lib.fr_kmeans_defaults.restype, lib.fr_kmeans_defaults.argtypes = Options, [c_int64]
    lib.fr_kmeans.argtypes = [POINTER(Tensor), POINTER(Options), POINTER(Out)]
    lib.fr_kmeans_predict.argtypes = [POINTER(Tensor), POINTER(Tensor), POINTER(Options), POINTER(c_int32),
                                      POINTER(c_float)]
    lib.fr_kmeans_order.argtypes = [POINTER(c_int32), c_int64, c_int64, POINTER(c_int32), POINTER(c_int64)]
    return lib


lib = load()


def version():
    """Of the C library."""
    return lib.fr_version().decode()


def check(status):
    """Raises what a failed call left as its sentence."""
    if status != OK:
        text = lib.fr_message().decode(errors="replace")
        raise {NOMEM: MemoryError, INTERRUPTED: KeyboardInterrupt, IO: OSError}.get(status, ValueError)(text)


def points(x, what="X"):
    """An array that C can read: the one that was given where it is of f32, f16 or bf16, floats otherwise."""
    x = np.asarray(x)
    if x.dtype.kind == "c" or x.dtype.kind not in "fiub" and x.dtype.name != "bfloat16":
        raise ValueError(f"{what} holds {x.dtype}, which are no real numbers.")
    if x.dtype.name not in ("float32", "float16", "bfloat16"):
        x = x.astype(np.float32)
    size = x.itemsize
    if not x.dtype.isnative or not x.flags.aligned or any(s < 0 or s % size for s in x.strides):
        x = np.array(x, dtype=x.dtype.newbyteorder("="), order="C")
    return x


def tensor(x):
    """A view of an array of `points`; the array must outlive it."""
    t = Tensor(dtype={"float32": F32, "float16": F16, "bfloat16": BF16}[x.dtype.name], rank=x.ndim, data=x.ctypes.data)
    for i in range(x.ndim):
        t.dim[i], t.stride[i] = x.shape[i], x.strides[i] // x.itemsize
    return t


def pointer(x, kind):
    """To the numbers of a contiguous array; None stays NULL."""
    return None if x is None else x.ctypes.data_as(POINTER(kind))
