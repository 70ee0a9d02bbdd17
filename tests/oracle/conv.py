#!/usr/bin/env python3
"""Golden outputs of PyTorch for tests/op/test_conv_golden.c: convolutions of pictures and videos,
their gradients, pixel shuffle and pools, brought to channels-last. They guard against a layout that
we and our own references misunderstand in the same way.

Writes tests/golden/op/conv.safetensors.

    python tests/oracle/conv.py          needs torch and safetensors
"""
import os

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "op")
torch.manual_seed(3)
torch.set_num_threads(1)
kept = {}


def last(t):
    """[n, c, ...] or a weight [o, c, ...] to channels-last."""
    return t.movedim(1, -1).contiguous()


def convolution(name, x, w, b, stride, pad, dilation, groups):
    conv = F.conv2d if x.dim() == 4 else F.conv3d
    x, w, b = (t.requires_grad_() for t in (x, w, b))
    y = conv(x, w, b, stride, pad, dilation, groups)
    dy = torch.randn_like(y)
    y.backward(dy)
    for key, t in (("x", x), ("w", w), ("y", y), ("dy", dy), ("dx", x.grad), ("dw", w.grad)):
        kept[f"{name}.{key}"] = last(t.detach())
    kept[f"{name}.b"] = b.detach()
    kept[f"{name}.db"] = b.grad


convolution("plain", torch.randn(2, 4, 5, 6), torch.randn(6, 4, 3, 3), torch.randn(6), 1, 1, 1, 1)
convolution("strided", torch.randn(1, 3, 8, 9), torch.randn(5, 3, 3, 2), torch.randn(5), (2, 3), (1, 0), (1, 2), 1)
convolution("grouped", torch.randn(1, 6, 5, 4), torch.randn(4, 3, 3, 3), torch.randn(4), 1, 1, 1, 2)
convolution("depthwise", torch.randn(1, 5, 7, 6), torch.randn(5, 1, 3, 3), torch.randn(5), 2, 1, 1, 5)
convolution("video", torch.randn(1, 3, 4, 5, 5), torch.randn(4, 3, 3, 2, 3), torch.randn(4), (1, 2, 1), (1, 0, 1), 1, 1)

x, w, b = torch.randn(1, 4, 3, 4), torch.randn(4, 5, 4, 4), torch.randn(5)
kept |= {"transposed.x": last(x), "transposed.w": last(w), "transposed.b": b,
         "transposed.y": last(F.conv_transpose2d(x, w, b, 2, 1))}

x = torch.randn(1, 12, 3, 4)
kept |= {"shuffle.x": last(x), "shuffle.y": last(F.pixel_shuffle(x, 2))}
x = torch.randn(1, 2, 6, 9)
kept |= {"unshuffle.x": last(x), "unshuffle.y": last(F.pixel_unshuffle(x, 3))}
x = torch.randn(1, 3, 3, 4)
kept |= {"upsample.x": last(x), "upsample.y": last(F.interpolate(x, scale_factor=(2, 3), mode="nearest"))}
for name, pool in (("avgpool", lambda t: F.avg_pool2d(t, 3, 2, 1, count_include_pad=False)),
                   ("maxpool", lambda t: F.max_pool2d(t, 3, 2, 1))):
    # Few different values, so that maxima tie.
    x = torch.randint(0, 4, (1, 3, 7, 8)).float().requires_grad_()
    y = pool(x)
    dy = torch.randn_like(y)
    y.backward(dy)
    kept |= {f"{name}.x": last(x.detach()), f"{name}.y": last(y.detach()),
             f"{name}.dy": last(dy), f"{name}.dx": last(x.grad)}

os.makedirs(OUT, exist_ok=True)
save_file(kept, os.path.join(OUT, "conv.safetensors"))
