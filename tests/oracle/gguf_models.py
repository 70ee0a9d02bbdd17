#!/usr/bin/env python3
"""Golden GGUF models for tests/model/test_gguf.c: small random models of each family, written as llama.cpp's converter
writes them (its names, its order of rows, its keys), and the logits that transformers gets from the same weights.

    python tests/oracle/gguf_models.py        needs torch, transformers, safetensors and gguf

Writes tests/golden/model/gguf/NAME.gguf and golden.safetensors with NAME.ids and NAME.logits, and the same of the
first ten tokens as NAME.few. What a tensor's type rounds is rounded in the model too, so the logits are of the very
weights in the file. The gguf package cannot make K blocks; theirs are random bytes with sensible scales."""
import math
import os

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Q
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoConfig

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "model", "gguf")
TOKENS = 20
golden = {}


def k_blocks(kind, shape, rng):
    block, size = gguf.GGML_QUANT_SIZES[kind]
    b = rng.integers(0, 256, (int(np.prod(shape)) // block, size), dtype=np.uint8)
    half = lambda x: np.frombuffer(np.full(len(b), x, np.float16).tobytes(), np.uint8).reshape(-1, 2)
    if kind == Q.Q6_K:
        b[:, 208:210] = half(0.06 / 128 / 20)
    else:
        top = 15 if kind == Q.Q4_K else 31
        b[:, 0:2], b[:, 2:4] = half(0.12 / 40 / top * 1.1), half(0.06 / 40)
    return b.reshape(*shape[:-1], -1)


class Writer:
    def __init__(self, name, arch):
        self.rng = np.random.default_rng(len(golden) + 5)
        self.w = gguf.GGUFWriter(os.path.join(OUT, name + ".gguf"), arch)
        self.name = name

    def add(self, name, x, kind):
        """Writes x (f32, GGUF's order of rows), gives what the file then holds."""
        if kind in (Q.Q4_K, Q.Q5_K, Q.Q6_K):
            data = k_blocks(kind, x.shape, self.rng)
        elif kind == Q.F16:
            data = x.astype(np.float16)
        elif kind == Q.F32:
            data = x.astype(np.float32)
        else:
            data = gguf.quants.quantize(x.astype(np.float32), kind)
        self.w.add_tensor(name, data, raw_dtype=None if kind in (Q.F16, Q.F32) else kind)
        return (data.astype(np.float32) if kind in (Q.F16, Q.F32)
                else gguf.quants.dequantize(data, kind).astype(np.float32).reshape(x.shape))

    def close(self):
        self.w.write_header_to_file()
        self.w.write_kv_data_to_file()
        self.w.write_tensors_to_file()
        self.w.close()


def permute(x, heads):
    return x.reshape(heads, 2, x.shape[0] // heads // 2, *x.shape[1:]).swapaxes(1, 2).reshape(x.shape)


def unpermute(x, heads):
    return x.reshape(heads, x.shape[0] // heads // 2, 2, *x.shape[1:]).swapaxes(1, 2).reshape(x.shape)


LAYER = {"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
         "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm",
         "self_attn.k_norm": "attn_k_norm", "self_attn.qkv_proj": "attn_qkv", "mlp.gate_up_proj": "ffn_up",
         "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
         "post_attention_layernorm": "ffn_norm", "mlp.gate": "ffn_gate_inp"}
GEMMA = {"post_attention_layernorm": "post_attention_norm", "pre_feedforward_layernorm": "ffn_norm",
         "post_feedforward_layernorm": "post_ffw_norm"}
TOP = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def gguf_name(name, gemma):
    base, _, end = name.rpartition(".")
    if base in TOP:
        return TOP[base] + "." + end
    _, _, layer, rest = base.split(".", 3)
    return f"blk.{layer}.{(GEMMA.get(rest) if gemma else None) or LAYER[rest]}.{end}"


def model_of(kind, seed, **config):
    torch.manual_seed(seed)
    cfg = AutoConfig.for_model(kind, vocab_size=32, hidden_act="silu", max_position_embeddings=64, bos_token_id=0,
                               eos_token_id=1, pad_token_id=0, attn_implementation="eager", **config)
    model = AutoModelForCausalLM.from_config(cfg).float().eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            r = torch.randn(p.shape)
            gemma_norm = kind == "gemma2" and p.dim() == 1
            p.copy_((0 if gemma_norm else 1) + 0.2 * r if p.dim() == 1 and "bias" not in name
                    else r * (0.1 if p.dim() == 1 else p.shape[-1] ** -0.5))
    return model, cfg


def write(name, arch, kind, types=lambda name: Q.Q8_0, keys=None, factors=None, seed=1, **config):
    model, cfg = model_of(kind, seed, **config)
    w, gemma = Writer(name, arch), arch == "gemma2"
    dim = getattr(cfg, "head_dim", None) or cfg.hidden_size // cfg.num_attention_heads
    w.w.add_block_count(cfg.num_hidden_layers)
    w.w.add_context_length(64)
    w.w.add_embedding_length(cfg.hidden_size)
    w.w.add_feed_forward_length(cfg.intermediate_size)
    w.w.add_head_count(cfg.num_attention_heads)
    w.w.add_head_count_kv(cfg.num_key_value_heads)
    w.w.add_key_length(dim)
    w.w.add_value_length(dim)
    w.w.add_layer_norm_rms_eps(cfg.rms_norm_eps)
    w.w.add_rope_freq_base(cfg.rope_parameters["rope_theta"])
    w.w.add_rope_dimension_count(dim)
    w.w.add_token_list([f"t{i}" for i in range(32)])
    w.w.add_bos_token_id(0)
    w.w.add_eos_token_id(1)
    if keys:
        keys(w.w, cfg)
    for tensor, values in (factors or {}).items():
        w.w.add_tensor(tensor, np.array(values, np.float32))
    with torch.no_grad():
        for key, p in model.named_parameters():
            x = p.numpy()
            if ".experts." in key:  # [experts, 2 hidden, width] and [experts, width, hidden]
                layer, half = key.split(".")[2], x.shape[1] // 2
                if "down" in key:
                    new = w.add(f"blk.{layer}.ffn_down_exps.weight", x, Q.Q8_0)
                else:
                    new = np.concatenate([w.add(f"blk.{layer}.ffn_gate_exps.weight", x[:, :half], Q.Q4_0),
                                          w.add(f"blk.{layer}.ffn_up_exps.weight", x[:, half:], Q.Q8_0)], 1)
                p.copy_(torch.from_numpy(new))
                continue
            t = gguf_name(key, gemma)
            heads = {"attn_q": cfg.num_attention_heads, "attn_k": cfg.num_key_value_heads}.get(t.split(".")[-2])
            turn = arch == "llama" and heads
            if gemma and x.ndim == 1:
                x = x + 1
            new = w.add(t, permute(x, heads) if turn else x, Q.F32 if x.ndim == 1 else types(t))
            if gemma and x.ndim == 1:
                new = new - 1
            p.copy_(torch.from_numpy(unpermute(new, heads) if turn else new))
    w.close()
    ids = torch.randint(0, 32, (1, TOKENS), generator=torch.Generator().manual_seed(seed + 40))
    with torch.no_grad():
        golden[name + ".ids"] = ids.int()
        golden[name + ".logits"] = model(ids).logits[0].contiguous()
        golden[name + ".few"] = model(ids[:, :10]).logits[0].contiguous()
    print(name, os.path.getsize(os.path.join(OUT, name + ".gguf")), golden[name + ".logits"].abs().max().item())


EVERY = {"token_embd.weight": Q.Q6_K, "output.weight": Q.Q4_K,
         "blk.0.attn_q.weight": Q.Q4_0, "blk.0.attn_k.weight": Q.Q5_K, "blk.0.attn_v.weight": Q.F16,
         "blk.0.attn_output.weight": Q.Q8_0, "blk.0.ffn_gate.weight": Q.Q4_1, "blk.0.ffn_up.weight": Q.Q5_0,
         "blk.0.ffn_down.weight": Q.Q5_1}
SMALL = dict(hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=2)


def llama3_factors(base, dim, factor, low, high, original):
    out = []
    for i in range(dim // 2):
        wave = 2 * math.pi * base ** (2 * i / dim)
        if wave < original / high:
            out.append(1)
        elif wave > original / low:
            out.append(factor)
        else:
            smooth = (original / wave - low) / (high - low)
            out.append(1 / ((1 - smooth) / factor + smooth))
    return out


def gemma_keys(w, cfg):
    w.add_attn_logit_softcapping(50.0)
    w.add_final_logit_softcapping(30.0)
    w.add_sliding_window(8)


def experts_keys(w, cfg):
    w.add_expert_count(4)
    w.add_expert_used_count(2)


def scaling(kind, factor, original=0, attention=0, window=0):
    def keys(w, cfg):
        w.add_rope_scaling_type(gguf.RopeScalingType(kind))
        if factor:
            w.add_rope_scaling_factor(factor)
        if original:
            w.add_rope_scaling_orig_ctx_len(original)
        if attention:
            w.add_rope_scaling_attn_factors(attention)
        if window:
            w.add_sliding_window(window)
    return keys


def main():
    os.makedirs(OUT, exist_ok=True)
    write("every_type", "llama", "llama", types=EVERY.get, hidden_size=256, intermediate_size=32,
          num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=2, head_dim=8, rms_norm_eps=1e-5)
    rope = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                original_max_position_embeddings=32, rope_theta=500.0)
    write("llama3", "llama", "llama", types=lambda name: Q.BF16 if "attn" in name else Q.Q8_0, factors={"rope_freqs.weight": llama3_factors(500.0, 8, 8.0, 1.0, 4.0, 32)},
          seed=2, rope_parameters=rope, tie_word_embeddings=True, **SMALL)
    write("qwen2", "qwen2", "qwen2", keys=scaling("linear", 4.0), seed=3, tie_word_embeddings=True,
          rope_parameters=dict(rope_type="linear", factor=4.0, rope_theta=1e6), **SMALL)
    write("qwen3", "qwen3", "qwen3", keys=scaling("yarn", 2.0, 32), seed=4, head_dim=16,
          rope_parameters=dict(rope_type="yarn", factor=2.0, rope_theta=1e4, original_max_position_embeddings=32),
          **SMALL)
    write("gemma2", "gemma2", "gemma2", keys=gemma_keys, seed=5, head_dim=16, query_pre_attn_scalar=16,
          sliding_window=8, attn_logit_softcapping=50.0, final_logit_softcapping=30.0,
          **dict(SMALL, num_hidden_layers=2))
    short, long = [1.0, 1.05, 1.1, 1.3], [1.0, 1.5, 3.0, 4.0]
    attention = math.sqrt(1 + math.log(64 / 16) / math.log(16))
    write("phi3", "phi3", "phi3", keys=scaling("longrope", 0, 16, attention, 12), seed=6,
          factors={"rope_factors_short.weight": short, "rope_factors_long.weight": long}, sliding_window=12,
          original_max_position_embeddings=16,
          rope_parameters=dict(rope_type="longrope", rope_theta=1e4, short_factor=short, long_factor=long,
                               original_max_position_embeddings=16), **SMALL)
    write("mixtral", "llama", "mixtral", keys=experts_keys, seed=7, num_local_experts=4, num_experts_per_tok=2,
          rms_norm_eps=1e-5, sliding_window=None, **SMALL)
    save_file(golden, os.path.join(OUT, "golden.safetensors"))


main()
