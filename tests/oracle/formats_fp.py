"""Makes tests/golden/format/fp.safetensors: small matrices in NVFP4, MXFP4, FP8 and 2 bits.

An independent NumPy version of the formulas: every rounding to a small float is a search of the nearest
in the table of all its values, not arithmetic on bits. Float operations are float32, one after another;
errors of Four Over Six are float64. Where torch is there, the tables and the roundings of E4M3 and E5M2 are
held against it.   usage: python formats_fp.py OUT.safetensors
"""
import sys
import numpy as np
from safetensors.numpy import save_file

f32 = np.float32


def table(ebits, mbits, finite):
    """All magnitudes of a small float, by code, up to the last finite one."""
    bias = (1 << (ebits - 1)) - 1
    codes = np.arange(finite + 1)
    e, m = codes >> mbits, codes & ((1 << mbits) - 1)
    return np.where(e == 0, m * 2.0 ** (1 - bias - mbits), (1 + m / 2.0**mbits) * 2.0 ** (e - bias))


E4M3, E5M2 = table(4, 3, 0x7E), table(5, 2, 0x7B)
E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6])


def nearest(x, values):
    """Codes of magnitudes: the nearest, ties to the even code, the last for all beyond."""
    a = np.abs(np.asarray(x, f32)).astype(np.float64)
    up = np.clip(np.searchsorted(values, a), 1, len(values) - 1)
    low, high = a - values[up - 1], values[up] - a
    take_up = (high < low) | ((high == low) & (up % 2 == 0))
    return np.where(take_up, up, up - 1).astype(np.uint8)


def signed(x, values, bit):
    return (nearest(x, values) | (np.signbit(x).astype(np.uint8) << bit)).astype(np.uint8)


def philox(seed, stream, counter):
    mask = 0xFFFFFFFF
    x = [counter & mask, counter >> 32, stream & mask, stream >> 32]
    k = [seed & mask, seed >> 32]
    for _ in range(10):
        p0, p1 = 0xD2511F53 * x[0], 0xCD9E8D57 * x[2]
        x = [(p1 >> 32) ^ x[1] ^ k[0], p1 & mask, (p0 >> 32) ^ x[3] ^ k[1], p0 & mask]
        k = [(k[0] + 0x9E3779B9) & mask, (k[1] + 0xBB67AE85) & mask]
    return x


def dither(seed, n):
    words = [philox(seed, 0x66726469746865, i // 4)[i % 4] for i in range(n)]
    return np.array([(w >> 8) / 2.0**24 - 0.5 for w in words], f32)


def e2m1(x, u):
    """Codes by the published rule: steps of 0.5, 1, 2, with dither in steps."""
    a = np.abs(x)
    v = np.where(a < 2, np.rint(f32(2) * a + u) / 2, np.where(a < 4, np.rint(a + u), 2 * np.rint(a / f32(2) + u)))
    code = np.searchsorted(E2M1, np.minimum(v, 6)).astype(np.uint8)
    plain = nearest(x, E2M1)
    assert u.any() or (code == plain).all(), "the rule is the nearest, ties to even"
    return code | (np.signbit(x).astype(np.uint8) << 3)


def pack(codes):
    if codes.shape[1] % 2:
        codes = np.pad(codes, ((0, 0), (0, 1)))
    return (codes[:, 0::2] | codes[:, 1::2] << 4).astype(np.uint8)


def blocks(x, n):
    pad = -x.shape[1] % n
    return np.pad(x, ((0, 0), (0, pad))).reshape(x.shape[0], -1, n)


def nvfp4(x, rule, u, grow=1.0, top=None):
    two = rule in ("mse", "mae", "max")
    peak = f32((4 if rule == "four" else 6) / grow)
    amax = np.abs(x).max()
    lift = f32(2.0**64) if 0 < amax < 2.0**-60 else f32(1)
    b, u = blocks(x * lift, 16), blocks(u.reshape(x.shape), 16)
    amax *= lift
    full = peak * f32(top or (256 if two else 448))
    encode, t = (full / amax, amax / full) if amax else (f32(0), f32(0))
    wanted = np.abs(b).max(-1) / peak * encode

    def attempt(scale):
        code = nearest(scale, E4M3)
        s = E4M3[code].astype(f32)
        with np.errstate(divide="ignore"):
            inverse = np.where(s > 0, f32(1) / (t * s), 0).astype(f32)
        codes = np.where(s[..., None] > 0, e2m1(b * inverse[..., None], u), 0).astype(np.uint8)
        value = E2M1[codes & 7].astype(f32) * np.where(codes > 7, f32(-1), f32(1))
        e = np.abs((value * s[..., None] * t).astype(np.float64) - b.astype(np.float64))
        error = {"mse": lambda: (e * e), "mae": lambda: e}.get(rule)
        if error:
            total = np.zeros(e.shape[:-1])
            for i in range(16):
                total = total + error()[..., i]
        else:
            total = e.max(-1)
        return code, codes, total

    scale, codes, err6 = attempt(wanted)
    share = 0.0
    if two:
        scale4, codes4, err4 = attempt(wanted * f32(1.5))
        four = (err4 < err6) & (wanted * f32(1.5) <= 448)
        share = four.mean()
        scale, codes = np.where(four, scale4, scale), np.where(four[..., None], codes4, codes)
    codes = codes.reshape(x.shape[0], -1)[:, : x.shape[1]]
    return {"codes": pack(codes), "scales": scale.astype(np.uint8), "tensor_scale": np.array([t / lift], f32)}, share


def mxfp4(x, power, u):
    b, u = blocks(x, 32), blocks(u.reshape(x.shape), 32)
    amax = np.abs(b).max(-1).astype(np.float64)
    with np.errstate(divide="ignore"):
        e = np.ceil(np.log2(amax / 6)) if power else np.floor(np.log2(amax)) - 2
    e = np.clip(e, -127, 125).astype(int)
    codes = e2m1(b * (2.0 ** -e[..., None]).astype(f32), u)
    return {"codes": pack(codes.reshape(x.shape[0], -1)[:, : x.shape[1]]), "scales": (e + 127).astype(np.uint8)}


def fp8(x, values, bit_top, h, w, power=False):
    rows, cols = x.shape
    h, w = h or rows, w or cols
    codes = np.zeros(x.shape, np.uint8)
    scales = np.zeros((-(-rows // h), -(-cols // w)), f32)
    for i in range(scales.shape[0]):
        for j in range(scales.shape[1]):
            at = np.s_[i * h : (i + 1) * h, j * w : (j + 1) * w]
            amax, top = np.abs(x[at]).max(), values[-1]
            s = amax / f32(top) if amax else f32(1)
            if power and amax:
                s = f32(2.0 ** np.ceil(np.log2(float(amax) / top)))
            s = np.maximum(s, f32(2.0**-126))
            codes[at], scales[i, j] = signed((x[at] / s).astype(f32), values, 7), s
    return {"codes": codes, "scales": scales}


def half_away(x):
    return np.copysign(np.floor(np.abs(x) + f32(0.5)), x)


def int2(x, g, asymmetric):
    b = x.reshape(x.shape[0], -1, g)
    if asymmetric:
        low, high = b.min(-1), b.max(-1)
        scale, zero = signed(high / f32(3) - low / f32(3), E4M3, 7), signed(low, E4M3, 7)
        z = (E4M3[zero & 127] * np.where(zero > 127, -1, 1)).astype(f32)
    else:
        scale, z = nearest(np.maximum(np.abs(b).max(-1), f32(1e-10)), E4M3), None
    s = E4M3[scale].astype(f32)[..., None]
    with np.errstate(divide="ignore", invalid="ignore"):
        if asymmetric:
            q = np.where(s > 0, np.clip(half_away((b - z[..., None]) / s), 0, 3), 0)
        else:
            q = np.where(s > 0, np.clip(half_away(b / s), -1, 1), 0) + 1
    q = q.reshape(x.shape).astype(np.uint8)
    parts = {"codes": q[:, 0::4] << 6 | q[:, 1::4] << 4 | q[:, 2::4] << 2 | q[:, 3::4], "scales": scale}
    return parts | ({"zeros": zero} if asymmetric else {})


def f16(x, up=None):
    """Codes: the nearest f16, or the next one that is not below (up) or not above x."""
    h = np.asarray(x, np.float64).astype(np.float16)
    wrong = h.astype(np.float64) < x if up else h.astype(np.float64) > x
    return h if up is None else np.where(wrong, np.nextafter(h, np.float16(np.inf if up else -np.inf)), h)


def page(x, bits, qserve):
    """x [64, heads, dim] -> the bytes of a page"""
    x = x.transpose(1, 0, 2).reshape(-1, x.shape[2])
    top, low, high = f32(2**bits - 1), x.min(1), x.max(1)
    if qserve:
        scale, offset = f16((high - low) / top), f16(-top * low / (high - low))
        code = np.rint(x / scale.astype(f32)[:, None] + offset.astype(f32)[:, None])
    else:
        offset = f16(low, up=False)
        scale = f16((high - offset.astype(f32)) / top, up=True)
        code = np.rint((x - offset.astype(f32)[:, None]) / scale.astype(f32)[:, None])
    code = np.clip(code, 0, top).astype(np.uint8)
    code = pack(code) if bits == 4 else code
    return np.concatenate([v.ravel().view(np.uint8) for v in (code, scale, offset)])


def against_torch():
    import torch

    rng = np.random.default_rng(1)
    x = np.concatenate([rng.standard_normal(20000) * 10.0 ** rng.uniform(-6, 3, 20000), E4M3, -E5M2]).astype(f32)
    ties = np.concatenate([(v[1:] + v[:-1]) / 2 for v in (E4M3, E5M2)]).astype(f32)
    x = np.concatenate([x, ties, -ties])
    x = x[np.abs(x) <= 448]
    for values, t in ((E4M3, torch.float8_e4m3fn), (E5M2, torch.float8_e5m2)):
        theirs = torch.from_numpy(x).to(t).view(torch.uint8).numpy()
        assert (theirs == signed(x, values, 7)).all(), t


def inputs():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((7, 71)).astype(f32)
    x *= (10.0 ** rng.uniform(-2, 1, (7, 1))).astype(f32)
    x[2, 16:48] = 0  # blocks of zeros
    x[3, :16] = 1e-6  # a block scale that rounds to 0
    x[4, 5] = 900  # one outlier
    ties = np.array([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5, 6, -0.25, -0.75, -1.25, -2.5, -3.5, -5, 0, -0.0], f32)
    square = np.tile(ties, (3, 2)) * np.array([[1], [2], [0.5]], f32)
    wide = rng.laplace(size=(3, 300)).astype(f32)
    tall = rng.standard_normal((131, 5)).astype(f32)
    groups = (rng.standard_normal((6, 128)) * 10.0 ** rng.uniform(-4, 3, (6, 1))).astype(f32)
    groups[1, 16:32] = np.linspace(-1, 1, 16) * np.abs(groups).max() * 0.7  # 4 in place of 6 would be cut off
    groups[0, :16] = [0.5, -0.5, 1, -1, 0.25, 0.75, -0.25, -0.75, 0, 0, 0, 0, 0.5, 0.5, -0.5, 1]
    return {"x": x, "ties": square, "wide": wide, "tall": tall, "groups": groups,
            "tiny": (x * f32(2.0**-136)).astype(f32), "huge": (x / np.abs(x).max() * f32(3.4e38)).astype(f32),
            "zeros": np.zeros((2, 40), f32)}


def main():
    try:
        against_torch()
    except ImportError:
        print("no torch: E4M3 and E5M2 are not compared with it")
    data, out = inputs(), {}
    for name, x in data.items():
        out[f"in.{name}"] = x
    none = lambda x: np.zeros(x.size, f32)
    for name in ("x", "ties", "tiny", "huge", "zeros"):
        x = data[name]
        for rule in ("plain", "mse", "mae", "max", "four"):
            if name in ("x", "ties") or rule in ("plain", "mse"):
                out |= {f"nvfp4.{rule}.{name}.{k}": v for k, v in nvfp4(x, rule, none(x))[0].items()}
        for power in (False, True):
            out |= {f"mxfp4.{'power' if power else 'plain'}.{name}.{k}": v for k, v in mxfp4(x, power, none(x)).items()}
    x = data["x"]
    out |= {f"nvfp4.mse448.groups.{k}": v for k, v in nvfp4(data["groups"], "mse", none(data["groups"]), top=448)[0].items()}
    u = dither(7, x.size)
    out |= {f"nvfp4.stochastic.x.{k}": v for k, v in nvfp4(x, "plain", u)[0].items()}
    out |= {f"nvfp4.unbiased.x.{k}": v for k, v in nvfp4(x, "mse", u, 17 / 16)[0].items()}
    out |= {f"mxfp4.stochastic.x.{k}": v for k, v in mxfp4(x, False, u).items()}
    for name in ("wide", "tall", "tiny"):
        for kind, args in {"e4m3-tensor": (E4M3, 0, 0, 0), "e5m2-tensor": (E5M2, 0, 0, 0),
                           "1x128": (E4M3, 0, 1, 128), "128x128": (E4M3, 0, 128, 128)}.items():
            for power in (False, True) if name == "wide" else (False,):
                parts = fp8(data[name], *args, power=power)
                out |= {f"fp8-{kind}.{'power' if power else 'plain'}.{name}.{k}": v for k, v in parts.items()}
    for g in (16, 64):
        for a in (False, True):
            parts = int2(data["groups"], g, a)
            out |= {f"int2{'a' if a else ''}-g{g}.plain.groups.{k}": v for k, v in parts.items()}
    rng = np.random.default_rng(3)
    kv = (rng.standard_normal((64, 2, 6)) * 10.0 ** rng.uniform(-2, 2, (64, 2, 1)) + rng.integers(-2, 3)).astype(f32)
    out["in.kv"] = kv
    for bits in (8, 4):
        for qserve in (False, True):
            out[f"page.{bits}{'q' if qserve else ''}"] = page(kv, bits, qserve)
    save_file({k: np.ascontiguousarray(v) for k, v in out.items()}, sys.argv[1])
    shares(np.random.default_rng(5))


def shares(rng):
    """Prints SQNR and the share of blocks that take 4, on 256 x 1024 values of three kinds."""
    kinds = {"normal": rng.standard_normal, "laplace": lambda size: rng.laplace(size=size),
             "student t4": lambda size: rng.standard_t(4, size)}
    for kind, draw in kinds.items():
        x = draw(size=(256, 1024)).astype(f32)
        for rule in ("plain", "mse", "mae", "max", "four"):
            p, share = nvfp4(x, rule, np.zeros(x.size, f32))
            codes = np.stack([p["codes"] & 15, p["codes"] >> 4], -1).reshape(x.shape)
            y = E2M1[codes & 7] * np.where(codes > 7, -1, 1) * np.repeat(E4M3[p["scales"]], 16, 1) * p["tensor_scale"][0]
            print(f"{kind:10} {rule:5} {10 * np.log10((x**2).sum() / ((x - y) ** 2).sum()):.2f} dB, {share:.0%} take 4")


if __name__ == "__main__":
    main()
