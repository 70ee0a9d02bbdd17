#!/usr/bin/env python3
"""Golden pictures for tests/tensor/test_image.c, and the first inputs of tests/fuzz/fuzz_image.c.

Writes packs into tests/golden/images: a line "name bytes width height channels", then the bytes of
the picture file, then the pixels that it must give; and so on.

  png.pack     every colour type and depth, plain and interlaced, from an encoder of our own (Pillow
               writes only some), its pixels worked out here and compared with Pillow's
  jpeg.pack    grey, RGB, CMYK, progressive, subsampled; the pixels are Pillow's
  bicubic.pack a PNG, and Pillow's bicubic resize of it to the size named
  area.pack    a PNG, and the exact average over each box, by fractions

    python tests/oracle/images.py          needs numpy and Pillow
"""
import io
import os
import struct
import zlib
from fractions import Fraction

import numpy as np
from PIL import Image, ImageDraw

HERE = os.path.dirname(os.path.abspath(__file__))
GOLDEN = os.path.join(HERE, "..", "golden", "images")
CORPUS = os.path.join(HERE, "..", "fuzz", "corpus", "image")
rng = np.random.default_rng(1)


class Pack:
    def __init__(self, name):
        self.file = open(os.path.join(GOLDEN, name), "wb")

    def add(self, name, data, pixels):
        height, width, channels = pixels.shape
        self.file.write(f"{name} {len(data)} {width} {height} {channels}\n".encode())
        self.file.write(data + pixels.astype(np.uint8).tobytes())


# ---- PNG ----

def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def pack_rows(samples, depth):
    """samples [h, w, n] -> filtered rows; the filter changes from row to row."""
    out, before = b"", None
    for y, row in enumerate(samples):
        if depth == 16:
            raw = row.astype(">u2").tobytes()
        elif depth == 8:
            raw = row.astype(np.uint8).tobytes()
        else:
            bits = "".join(f"{int(v):0{depth}b}" for v in row.ravel())
            bits += "0" * (-len(bits) % 8)
            raw = bytes(int(bits[i:i + 8], 2) for i in range(0, len(bits), 8))
        step = max(1, row.shape[1] * depth // 8)
        before = before or bytes(len(raw))
        kind = y % 5
        line = bytearray([kind])
        for i, x in enumerate(raw):
            a = raw[i - step] if i >= step else 0
            b = before[i]
            c = before[i - step] if i >= step else 0
            p = a + b - c
            paeth = min((a, b, c), key=lambda v: (abs(p - v),))
            line.append((x - [0, a, b, (a + b) // 2, paeth][kind]) & 255)
        out += bytes(line)
        before = raw
    return out


ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def png(samples, kind, depth, interlaced, extra=b""):
    h, w, _ = samples.shape
    head = struct.pack(">IIBBBBB", w, h, depth, kind, 0, 0, interlaced)
    if interlaced:
        raw = b""
        for x, y, dx, dy in ADAM7:
            part = samples[y::dy, x::dx]
            if part.size:
                raw += pack_rows(part, depth)
    else:
        raw = pack_rows(samples, depth)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra + chunk(b"IDAT", zlib.compress(raw, 9))
            + chunk(b"IEND", b""))


def to_8(v, depth):
    return (v.astype(np.int64) * 255 * 2 + ((1 << depth) - 1)) // (2 * ((1 << depth) - 1))


def write_pngs():
    pack = Pack("png.pack")
    h, w = 7, 11
    kinds = [("grey", 0, 1, [1, 2, 4, 8, 16]), ("rgb", 2, 3, [8, 16]), ("palette", 3, 1, [1, 2, 4, 8]),
             ("grey-alpha", 4, 2, [8, 16]), ("rgba", 6, 4, [8, 16])]
    cases = [(n, k, c, d, i, t) for n, k, c, ds in kinds for d in ds for i in (0, 1) for t in (0, 1)]
    for name, kind, channels, depth, interlaced, trns in cases:
        if trns and (kind in (4, 6) or interlaced):
            continue
        samples = rng.integers(0, 1 << depth, (h, w, channels))
        extra = b""
        if kind == 3:
            colours = rng.integers(0, 256, (1 << depth, 3))
            extra = chunk(b"PLTE", colours.astype(np.uint8).tobytes())
            pixels = colours[samples[..., 0]]
            if trns:
                alphas = rng.integers(0, 256, 1 << depth)
                extra += chunk(b"tRNS", alphas.astype(np.uint8).tobytes())
                pixels = np.concatenate([pixels, alphas[samples[..., 0]][..., None]], 2)
        else:
            pixels = to_8(samples, depth)
            if kind == 4:
                pixels = pixels[..., [0, 0, 0, 1]]
            if trns:
                key = samples[2, 3]
                extra = chunk(b"tRNS", struct.pack(">" + "H" * channels, *map(int, key)))
                alpha = np.where((samples == key).all(2), 0, 255)[..., None]
                pixels = np.concatenate([pixels[..., [0, 0, 0]] if kind == 0 else pixels, alpha], 2)
        data = png(samples, kind, depth, interlaced, extra)
        if depth <= 8:  # Pillow keeps or truncates 16 bits
            seen = np.array(Image.open(io.BytesIO(data)).convert("RGBA"))
            full = pixels if pixels.shape[2] == 4 else np.concatenate(
                [pixels[..., [0, 0, 0]] if pixels.shape[2] == 1 else pixels, np.full((h, w, 1), 255)], 2)
            seen_alpha = kind != 0 or not trns or depth == 8  # Pillow's key for few bits is another
            assert (seen == full)[..., :4 if seen_alpha else 3].all(), (name, depth, interlaced, trns)
        label = f"{name}{depth}{'-interlaced' if interlaced else ''}{'-trns' if trns else ''}"
        pack.add(label, data, pixels)
        if depth in (1, 16):
            open(os.path.join(CORPUS, label + ".png"), "wb").write(data)


# ---- JPEG ----

def scene(size, mode="RGB"):
    im = Image.new("RGB", (size[0] * 4, size[1] * 4), (40, 90, 160))
    d = ImageDraw.Draw(im)
    d.ellipse((8, 8, size[0] * 3, size[1] * 3), fill=(220, 60, 30))
    d.line((0, 0, size[0] * 4, size[1] * 3), fill=(255, 255, 255), width=9)
    return im.resize(size, Image.LANCZOS).convert(mode)


def write_jpegs():
    pack = Pack("jpeg.pack")
    cases = [("grey", "L", {}), ("rgb", "RGB", {"subsampling": 0}), ("rgb420", "RGB", {"subsampling": 2}),
             ("rgb422-progressive", "RGB", {"subsampling": 1, "progressive": True}),
             ("restarts", "RGB", {"restart_marker_blocks": 1}), ("cmyk", "CMYK", {})]
    for name, mode, options in cases:
        im = scene((21, 18)).convert(mode)
        if mode == "CMYK":  # Pillow's way from RGB leaves black empty
            a = np.array(im)
            a[..., 3] = rng.integers(0, 60)
            im = Image.fromarray(a, "CMYK")
        buffer = io.BytesIO()
        im.save(buffer, "JPEG", quality=80, **options)
        data = buffer.getvalue()
        out = Image.open(io.BytesIO(data))
        assert out.mode == mode
        pixels = np.array(out.convert("RGB") if mode == "CMYK" else out)
        pack.add(name, data, pixels.reshape(18, 21, -1))
        open(os.path.join(CORPUS, name + ".jpg"), "wb").write(data)


# ---- resize ----

SIZES = [(13, 9, 40, 31), (40, 31, 13, 9), (40, 31, 7, 60), (16, 16, 8, 8), (16, 16, 16, 8), (5, 4, 5, 4),
         (1, 1, 9, 3), (50, 3, 1, 1), (33, 20, 32, 21)]


def sources():
    for w, h, to_w, to_h in SIZES:
        for channels in (1, 3, 4):
            noise = rng.integers(0, 256, (h, w, channels)).astype(np.uint8)
            if channels == 4:  # clear places, and smooth edges of them
                noise[..., 3] = np.clip(noise[..., 3].astype(int) * 2 - 128, 0, 255)
            yield f"noise{channels}-{w}x{h}-{to_w}x{to_h}", noise, to_w, to_h
    yield "scene3-40x31-17x13", np.array(scene((40, 31))), 17, 13


def cover(a_from, a_to):
    """weight[i][x]: how much of old pixel x new pixel i covers, as a share of it."""
    table = []
    for i in range(a_to):
        start, end = Fraction(i * a_from, a_to), Fraction((i + 1) * a_from, a_to)
        part = [max(Fraction(0), min(end, x + 1) - max(start, x)) for x in range(a_from)]
        table.append([(x, p / (end - start)) for x, p in enumerate(part) if p])
    return table


def half_up(v):
    return int(v + Fraction(1, 2))


def area(a, w, h):
    if a.shape[:2] == (h, w):
        return a
    out = np.zeros((h, w, a.shape[2]), np.uint8)
    xs, ys = cover(a.shape[1], w), cover(a.shape[0], h)
    for y in range(h):
        for x in range(w):
            cells = [(py * px, a[sy, sx].tolist()) for sy, py in ys[y] for sx, px in xs[x]]
            if a.shape[2] == 4:
                alpha = sum(p * c[3] for p, c in cells)
                for k in range(3):
                    out[y, x, k] = half_up(sum(p * c[3] * c[k] for p, c in cells) / alpha) if alpha else 0
                out[y, x, 3] = half_up(alpha)
            else:
                for k in range(a.shape[2]):
                    out[y, x, k] = half_up(sum(p * c[k] for p, c in cells))
    return out


def write_resizes():
    bicubic, boxes = Pack("bicubic.pack"), Pack("area.pack")
    for name, a, w, h in sources():
        im = Image.fromarray(a.squeeze(2) if a.shape[2] == 1 else a)
        buffer = io.BytesIO()
        im.save(buffer, "PNG")
        small = np.array(im.resize((w, h), Image.BICUBIC)).reshape(h, w, -1)
        bicubic.add(name, buffer.getvalue(), small)
        boxes.add(name, buffer.getvalue(), area(a, w, h))


os.makedirs(GOLDEN, exist_ok=True)
os.makedirs(CORPUS, exist_ok=True)
write_pngs()
write_jpegs()
write_resizes()
