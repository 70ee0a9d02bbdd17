#!/usr/bin/env python3
"""Golden models of every family of decoders: two small layers with random weights, as transformers runs them.

Writes tests/golden/model/families/NAME.json, the configuration as transformers saves it, and NAME.safetensors: ids, and
the logits of all of them at once, computed in f32. The weights are no file: `value` below makes them from a parameter's
name, and so does tests/model/test_families.c. Norms and biases are random too, so that nothing hides behind 1 and 0.
The three phi3 have the same weights: a text longer than the original context, one that is not, and heads that turn in part.
Where steps through transformers' own cache give other logits it says so: phi3-long does, because keys that were turned by the
short list stay so.

    python tests/oracle/families.py                  needs torch, transformers and safetensors
    python tests/oracle/families.py --check FOLDER   FOLDER has the configurations that Frugal wrote, NAME.json: transformers
                                                     must read the same from them
"""
import json
import os
import sys

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "model", "families")
TOKENS, VOCAB = 40, 64
SMALL = dict(vocab_size=VOCAB, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, hidden_size=32,
             intermediate_size=40, bos_token_id=0, eos_token_id=1, pad_token_id=None)
WIDE = dict(SMALL, head_dim=16)  # heads of 16 values: eight pairs, so that a stretch has fast and slow ones
LONG = dict(short_factor=[1.0, 1.05, 1.1, 1.2, 1.3, 1.5, 1.6, 1.7], long_factor=[1.0, 1.3, 1.9, 2.6, 4.0, 5.5, 7.0, 8.0])

FAMILIES = {
    "llama3": ("llama", dict(WIDE, max_position_embeddings=128, tie_word_embeddings=True, rope_parameters=dict(
        rope_type="llama3", rope_theta=500.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
        original_max_position_embeddings=32))),
    "linear": ("llama", dict(WIDE, max_position_embeddings=128, attention_bias=True, rope_parameters=dict(
        rope_type="linear", rope_theta=100.0, factor=4.0))),
    "yarn": ("qwen2", dict(SMALL, num_attention_heads=2, max_position_embeddings=128, rope_parameters=dict(
        rope_type="yarn", rope_theta=100.0, factor=4.0, original_max_position_embeddings=32, beta_fast=2.5,
        beta_slow=0.5))),
    "mscale": ("llama", dict(WIDE, max_position_embeddings=128, rope_parameters=dict(
        rope_type="yarn", rope_theta=1000.0, factor=8.0, original_max_position_embeddings=16, mscale=1.3,
        mscale_all_dim=0.6, truncate=False))),
    "mistral": ("mistral", dict(SMALL, max_position_embeddings=128, sliding_window=9)),
    "qwen2": ("qwen2", dict(SMALL, max_position_embeddings=128, tie_word_embeddings=True, use_sliding_window=True,
                            sliding_window=7, max_window_layers=1)),
    "qwen3": ("qwen3", dict(WIDE, max_position_embeddings=128, rope_parameters=dict(rope_type="default", rope_theta=1e4))),
    "gemma2": ("gemma2", dict(WIDE, max_position_embeddings=128, sliding_window=9, query_pre_attn_scalar=24,
                              attn_logit_softcapping=2.0, final_logit_softcapping=20.0)),
    "phi3-long": ("phi3", dict(SMALL, num_attention_heads=2, max_position_embeddings=128, original_max_position_embeddings=16,
                               rope_parameters=dict(rope_type="longrope", rope_theta=100.0, **LONG))),
    "phi3-short": ("phi3", dict(SMALL, num_attention_heads=2, max_position_embeddings=128, original_max_position_embeddings=TOKENS,
                                rope_parameters=dict(rope_type="longrope", rope_theta=100.0, **LONG))),
    "phi3-part": ("phi3", dict(SMALL, max_position_embeddings=128, sliding_window=11, num_attention_heads=2,
                               rope_parameters=dict(rope_type="default", rope_theta=1e4, partial_rotary_factor=0.5))),
    "mixtral": ("mixtral", dict(SMALL, max_position_embeddings=128, num_local_experts=4, num_experts_per_tok=2,
                                sliding_window=None)),
}


def value(name, shape):
    """Uniform between -1 and 1, 8 bits of splitmix64 from where FNV-1a of the name says."""
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = (h ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    with np.errstate(over="ignore"):
        z = np.uint64(h) + np.arange(1, int(np.prod(shape)) + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
        z = (z ^ z >> np.uint64(31)) >> np.uint64(56)
    return torch.from_numpy((2 * z.astype(np.float32) - 255) / 256).reshape(shape)


def experts(name, shape):
    """Experts of newer versions of transformers are stacked, gate and up in one; files have them one by one."""
    before, stacked = name.replace(".mlp.", ".block_sparse_moe.").rsplit(".", 1)
    ends, rows = {"gate_up_proj": (("w1", "w3"), shape[1] // 2), "down_proj": (("w2",), shape[1])}[stacked]
    return torch.stack([torch.cat([value(f"{before}.{e}.{end}.weight", (rows, shape[2])) for end in ends])
                        for e in range(shape[0])])


def fill(model, plus_one):
    with torch.no_grad():
        for name, p in model.named_parameters():
            x = experts(name, p.shape) if p.dim() == 3 else value(name.replace(".mlp.gate.", ".block_sparse_moe.gate."),
                                                                  tuple(p.shape))
            if name.endswith("bias"):
                x = x / 2
            elif p.dim() == 1:
                x = x / 2 + (0 if plus_one else 1)
            elif "embed_tokens" not in name:
                x = x / 4
            p.copy_(x.bfloat16())


def steps(model, ids):
    out, past = [], None
    for t in range(ids.shape[1]):
        y = model(ids[:, t : t + 1], past_key_values=past, use_cache=True)
        past = y.past_key_values
        out.append(y.logits)
    return torch.cat(out, 1)


def golden(name, seed):
    family, config = FAMILIES[name]
    cfg = AutoConfig.for_model(family, **config)
    cfg._attn_implementation = "eager"
    model = AutoModelForCausalLM.from_config(cfg, dtype=torch.float32).eval()
    fill(model, family == "gemma2")
    model.config.save_pretrained(OUT)
    os.rename(os.path.join(OUT, "config.json"), os.path.join(OUT, name + ".json"))
    half = AutoModelForCausalLM.from_config(cfg, dtype=torch.bfloat16).eval()
    half.load_state_dict(model.state_dict())
    ids = torch.randint(0, VOCAB, (1, TOKENS), generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        logits = model(ids).logits
        apart = (steps(model, ids) - logits).norm() / logits.norm()
        coarse = (half(ids).logits.float() - logits).norm() / logits.norm()
    save_file({"ids": ids.int().contiguous(), "logits": logits[0].contiguous()}, os.path.join(OUT, name + ".safetensors"))
    os.chmod(os.path.join(OUT, name + ".safetensors"), 0o644)
    print(f"{name:12} largest logit {logits.abs().max():.3g}, steps {apart:.2g} apart, bf16 {coarse:.2g}")


def plain(rope):
    """Without what says the default."""
    defaults = {"truncate": True, "beta_fast": 32.0, "beta_slow": 1.0, "partial_rotary_factor": 1.0}
    return {k: v for k, v in rope.items() if k != "type" and v is not None and v != defaults.get(k)}


def check(folder):
    bad = False
    for name, (family, config) in FAMILIES.items():
        want = AutoConfig.for_model(family, **config).to_dict()
        with open(os.path.join(folder, name + ".json")) as f:
            got = AutoConfig.for_model(**json.load(f)).to_dict()
        wrong = []
        for key in [*config, "layer_types", "head_dim"]:
            value, other = want.get(key), got.get(key)
            if key == "rope_parameters":
                value, other = plain(value), plain(other)
            if value is not None and other != value:
                wrong.append(f"{key}: {other}, not {value}")
        print(f"{name:12}", "; ".join(wrong) or "same")
        bad |= bool(wrong)
    assert not bad, "transformers reads other models from what Frugal wrote"


if len(sys.argv) == 3 and sys.argv[1] == "--check":
    check(sys.argv[2])
else:
    os.makedirs(OUT, exist_ok=True)
    for i, name in enumerate(FAMILIES):
        golden(name, 10 + i)
