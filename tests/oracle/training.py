#!/usr/bin/env python3
"""Golden runs of PyTorch for tests/train: 50 AdamW steps of two small models, in f32 on the CPU.

Writes tests/golden/train/lm.safetensors (a 4-layer transformer language model) and
tests/golden/train/autoencoder.safetensors (a convolutional autoencoder): initial weights under the
names that the tests use, the data of every step, and the loss of every step.

    python tests/oracle/training.py          needs torch and safetensors
"""
import math
import os

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "train")
STEPS = 50
torch.manual_seed(1)
torch.set_num_threads(1)


def adamw(params, clip, decay, lr, losses, forward):
    """AdamW with a cosine from lr to lr/10 after 5 steps of warm-up, and a clipped gradient."""
    heavy = [p for p in params.values() if p.dim() >= 2]
    light = [p for p in params.values() if p.dim() < 2]
    opt = torch.optim.AdamW([{"params": heavy, "weight_decay": decay}, {"params": light, "weight_decay": 0.0}],
                            lr=lr, betas=(0.9, 0.99), eps=1e-8)
    for step in range(STEPS):
        if step < 5:
            rate = lr * (step + 1) / 5
        else:
            t = min(1.0, (step - 5) / (STEPS - 5))
            rate = lr / 10 + (lr - lr / 10) * 0.5 * (1 + math.cos(math.pi * t))
        for group in opt.param_groups:
            group["lr"] = rate
        opt.zero_grad()
        loss = forward(step)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(params.values()), clip)
        opt.step()
        losses.append(loss.item())


# ---- a language model of the Llama kind ----
VOCAB, DIM, LAYERS, HEADS, KV, HIDDEN, TOKENS, BATCH = 40, 32, 4, 4, 2, 64, 24, 3


def rms(x, w):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * w


def rope(x):
    """x [b, t, h, d], pairs (i, i + d/2), base 10000."""
    d = x.shape[-1]
    inv = 1.0 / (10000 ** (torch.arange(0, d, 2, dtype=torch.float64) / d))
    angle = torch.arange(x.shape[1], dtype=torch.float64)[:, None] * inv
    c, s = angle.cos().float()[None, :, None], angle.sin().float()[None, :, None]
    a, b = x[..., : d // 2], x[..., d // 2:]
    return torch.cat([a * c - b * s, b * c + a * s], -1)


def lm():
    p = {"embed": torch.randn(VOCAB, DIM) * 0.3}
    for i in range(LAYERS):
        n = f"layers.{i}."
        p[n + "norm1"] = 1 + 0.1 * torch.randn(DIM)
        p[n + "norm2"] = 1 + 0.1 * torch.randn(DIM)
        hd = DIM // HEADS
        for name, rows, cols in (("q", DIM, DIM), ("k", KV * hd, DIM), ("v", KV * hd, DIM), ("o", DIM, DIM),
                                 ("gate", HIDDEN, DIM), ("up", HIDDEN, DIM), ("down", DIM, HIDDEN)):
            p[n + name] = torch.randn(rows, cols) / math.sqrt(cols)
    p["norm"] = torch.ones(DIM)
    p["head"] = torch.randn(VOCAB, DIM) / math.sqrt(DIM)
    start = {k: v.clone() for k, v in p.items()}
    # Sequences with a rule in them: each token follows from the two before it, with some noise.
    data = torch.randint(0, VOCAB, (STEPS, BATCH, TOKENS + 1))
    for t in range(2, TOKENS + 1):
        rule = (data[:, :, t - 1] * 3 + data[:, :, t - 2]) % VOCAB
        keep = torch.rand(STEPS, BATCH) < 0.9
        data[:, :, t] = torch.where(keep, rule, data[:, :, t])
    for v in p.values():
        v.requires_grad_(True)

    def forward(step):
        x = F.embedding(data[step, :, :-1], p["embed"])
        hd = DIM // HEADS
        for i in range(LAYERS):
            n = f"layers.{i}."
            y = rms(x, p[n + "norm1"])
            q = rope((y @ p[n + "q"].T).view(BATCH, TOKENS, HEADS, hd))
            k = rope((y @ p[n + "k"].T).view(BATCH, TOKENS, KV, hd))
            v = (y @ p[n + "v"].T).view(BATCH, TOKENS, KV, hd)
            k, v = (a.repeat_interleave(HEADS // KV, 2) for a in (k, v))
            a = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), is_causal=True)
            x = x + a.transpose(1, 2).reshape(BATCH, TOKENS, DIM) @ p[n + "o"].T
            y = rms(x, p[n + "norm2"])
            x = x + (F.silu(y @ p[n + "gate"].T) * (y @ p[n + "up"].T)) @ p[n + "down"].T
        logits = rms(x, p["norm"]) @ p["head"].T
        return F.cross_entropy(logits.view(-1, VOCAB), data[step, :, 1:].reshape(-1))

    losses = []
    adamw(p, 1.0, 0.1, 3e-3, losses, forward)
    start["data"] = data.to(torch.int32)
    start["loss"] = torch.tensor(losses, dtype=torch.float64).float()
    save_file({k: v.contiguous() for k, v in start.items()}, os.path.join(OUT, "lm.safetensors"))
    print("lm", losses[0], losses[-1])


# ---- a convolutional autoencoder ----
SIZE, CHANNELS, LATENT = 16, 12, 4


def autoencoder():
    p = {}
    for name, shape in (("in", (CHANNELS, 3, 3, 3)), ("down", (2 * CHANNELS, CHANNELS, 3, 3)),
                        ("depth", (2 * CHANNELS, 1, 3, 3)), ("latent", (LATENT, 2 * CHANNELS, 1, 1)),
                        ("from", (2 * CHANNELS, LATENT, 3, 3)), ("up", (4 * CHANNELS, 2 * CHANNELS, 3, 3)),
                        ("out", (3, CHANNELS, 3, 3))):
        p[name + ".weight"] = torch.randn(*shape) / math.sqrt(shape[1] * shape[2] * shape[3])
        p[name + ".bias"] = 0.1 * torch.randn(shape[0])
    p["norm.weight"] = torch.ones(2 * CHANNELS)
    p["norm.bias"] = torch.zeros(2 * CHANNELS)
    # Frugal keeps channels last: [out, kh, kw, in].
    start = {k: v.clone().permute(0, 2, 3, 1) if v.dim() == 4 else v.clone() for k, v in p.items()}
    grid = torch.stack(torch.meshgrid(*(torch.linspace(-1, 1, SIZE),) * 2, indexing="ij"), -1)
    angle = torch.rand(STEPS, 2, 3, 2) * 4
    data = torch.sin(torch.einsum("xyd,sbcd->sbxyc", grid, angle))  # [step, batch, h, w, c]
    for v in p.values():
        v.requires_grad_(True)

    def forward(step):
        x = data[step].permute(0, 3, 1, 2)
        y = F.silu(F.conv2d(x, p["in.weight"], p["in.bias"], padding=1))
        y = F.conv2d(y, p["down.weight"], p["down.bias"], stride=2, padding=1)
        y = F.group_norm(y, 4, p["norm.weight"], p["norm.bias"], 1e-5)
        y = F.gelu(F.conv2d(y, p["depth.weight"], p["depth.bias"], padding=1, groups=2 * CHANNELS))
        y = F.conv2d(y, p["latent.weight"], p["latent.bias"])
        y = F.hardswish(F.conv2d(y, p["from.weight"], p["from.bias"], padding=1))
        y = F.pixel_shuffle(F.conv2d(y, p["up.weight"], p["up.bias"], padding=1), 2)
        y = F.conv2d(y, p["out.weight"], p["out.bias"], padding=1)
        return F.mse_loss(y, x)

    losses = []
    adamw(p, 1.0, 0.01, 1e-2, losses, forward)
    start["data"] = data
    start["loss"] = torch.tensor(losses, dtype=torch.float64).float()
    save_file({k: v.contiguous() for k, v in start.items()}, os.path.join(OUT, "autoencoder.safetensors"))
    print("autoencoder", losses[0], losses[-1])


os.makedirs(OUT, exist_ok=True)
lm()
autoencoder()
