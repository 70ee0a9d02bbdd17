#!/usr/bin/env python3
"""Golden packed checkpoints for tests/model/test_packed.c: small random Llama models packed here, word by word, as AWQ,
GPTQ (with columns out of order) and QServe pack them, and the logits that transformers gets from what they mean.

    python tests/oracle/packed_models.py        needs torch, transformers and safetensors

Writes tests/golden/model/packed/{awq,gptq,qserve}/ and golden.safetensors."""
import json
import os
import shutil

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "model", "packed")
LINEARS = [f"self_attn.{x}_proj" for x in "qkvo"] + [f"mlp.{x}_proj" for x in ("gate", "up", "down")]
rng = np.random.default_rng(11)
golden = {}


def f16(x):
    return np.asarray(x, np.float16)


def words(codes, bits, axis):
    """Neighbours along an axis in one 32-bit word, the first lowest."""
    codes = np.moveaxis(codes.astype(np.uint32), axis, -1)
    per = 32 // bits
    codes = codes.reshape(*codes.shape[:-1], -1, per)
    out = np.zeros(codes.shape[:-1], np.uint32)
    for i in range(per):
        out |= codes[..., i] << np.uint32(bits * i)
    return np.moveaxis(out, -1, axis).view(np.int32)


def integers(w, group):
    """w [out, in] -> codes, zeros [groups, out], scales, with groups along `group` (the group of each column)."""
    out, groups = w.shape[0], group.max() + 1
    scale, zero, code = np.zeros((groups, out), np.float16), np.zeros((groups, out), np.int64), np.zeros(w.shape, np.int64)
    for g in range(groups):
        part = w[:, group == g]
        lo, hi = np.minimum(part.min(1), 0), np.maximum(part.max(1), 0)
        scale[g] = f16((hi - lo) / 15)
        s = scale[g].astype(np.float32)
        zero[g] = np.clip(np.rint(-lo / s), 1, 15)
        code[:, group == g] = np.clip(np.rint(part / s[:, None]) + zero[g][:, None], 0, 15)
    means = (code - zero[group].T).astype(np.float32) * scale[group].T.astype(np.float32)
    return code, zero, scale, means


def awq(w):
    order = [0, 2, 4, 6, 1, 3, 5, 7]
    mixed = lambda x: x.reshape(x.shape[0], -1, 8)[:, :, order].reshape(x.shape)
    code, zero, scale, means = integers(w, np.arange(w.shape[1]) // 32)
    return {"qweight": words(mixed(code.T), 4, 1), "qzeros": words(mixed(zero), 4, 1), "scales": scale}, means


def gptq(w):
    group = rng.permutation(np.arange(w.shape[1]) // 32)
    code, zero, scale, means = integers(w, group)
    return {"qweight": words(code.T, 4, 0), "qzeros": words(zero - 1, 4, 1), "scales": scale,
            "g_idx": group.astype(np.int32)}, means


def gptq_straight(w):
    group = np.arange(w.shape[1]) // 32
    code, zero, scale, means = integers(w, group)
    return {"qweight": words(code.T, 4, 0), "qzeros": words(zero - 1, 4, 1), "scales": scale,
            "g_idx": group.astype(np.int32)}, means


def qserve_codes(code):
    out, k = code.shape
    packed = np.zeros(out * k // 2, np.uint8)
    for o in range(out):
        for i in range(k):
            a, b, c, d, e, f = o % 32 // 16, o % 16 // 8, o % 8, i % 32 // 16, i % 16 // 4, i % 4
            at = (o // 32 * (k // 32) + i // 32) * 512 + (4 * c + e) * 16 + 8 * d + 4 * b + f
            packed[at] |= int(code[o, i]) << (4 * a)
    return packed.reshape(out, k // 2).view(np.int8)


def qserve(w):
    out, k = w.shape
    if k % 128:  # a scale a row
        s = f16((w.max(1) - w.min(1)) / 15)
        z = f16(-w.min(1))
        sf, zf = s.astype(np.float32)[:, None], z.astype(np.float32)[:, None]
        code = np.clip(np.rint((w + zf) / sf), 0, 15)
        return {"qweight": qserve_codes(code), "s1_scales": s, "s1_szeros": z}, (code * sf - zf).astype(np.float32)
    s1 = f16(np.abs(w).max(1) / 120)
    v = np.clip(w / s1.astype(np.float32)[:, None], -120, 120).reshape(out, -1, 128)
    lo, hi = np.minimum(v.min(2), 0), np.maximum(v.max(2), 0)
    s2, z = np.clip(np.rint((hi - lo) / 15), 1, 127), np.rint(-lo)
    code = np.clip(np.rint((v + z[:, :, None]) / s2[:, :, None]), 0, 15)
    means = (code * s2[:, :, None] - z[:, :, None]).reshape(out, k) * s1.astype(np.float32)[:, None]

    def mixed(x):  # [out, groups] -> [groups, out], channel 8 j + c of each 32 at 4 c + j
        x = x.T.reshape(x.shape[1], -1, 4, 8).swapaxes(2, 3).reshape(x.shape[1], -1)
        return (x.astype(np.int64) & 255).astype(np.uint8).view(np.int8)
    return {"qweight": qserve_codes(code.reshape(out, k)), "s1_scales": s1, "s2_scales": mixed(s2),
            "s2_zeros": mixed(-z)}, means.astype(np.float32)


def write(name, pack, quantization, norms=True, **config):
    folder = os.path.join(OUT, name)
    os.makedirs(folder)
    torch.manual_seed(len(name))
    cfg = LlamaConfig(vocab_size=32, num_hidden_layers=1, max_position_embeddings=64, bos_token_id=0, eos_token_id=1,
                      attn_implementation="eager", rms_norm_eps=1e-5, **config)
    model = LlamaForCausalLM(cfg).float().eval()
    state = {}
    with torch.no_grad():
        for key, p in model.named_parameters():
            x = torch.randn(p.shape) * p.shape[-1] ** -0.5 if p.dim() > 1 else 1 + 0.2 * torch.randn(p.shape)
            if p.dim() == 1 and not norms:
                p.fill_(1)
                continue
            module = key[:-len(".weight")]
            if any(module.endswith(x) for x in LINEARS):
                parts, means = (pack[1] if "mlp" in key and len(pack) > 1 else pack[0])(x.numpy())
                for suffix, value in parts.items():
                    state[f"{module}.{suffix}"] = torch.from_numpy(np.ascontiguousarray(value))
                p.copy_(torch.from_numpy(means))
            else:
                state[key] = x.half()
                p.copy_(state[key].float())
    if name == "qserve":
        torch.save(state, os.path.join(folder, "pytorch_model.bin"))
    else:
        save_file(state, os.path.join(folder, "model.safetensors"))
    keep = ("vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads num_key_value_heads "
            "head_dim max_position_embeddings bos_token_id eos_token_id rms_norm_eps").split()
    c = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "rope_theta": 10000.0,
         "torch_dtype": "float16", "tie_word_embeddings": False} | {k: getattr(cfg, k) for k in keep}
    if quantization:
        c["quantization_config"] = quantization
    with open(os.path.join(folder, "config.json"), "w") as f:
        json.dump(c, f, indent=1)
    ids = torch.randint(0, 32, (1, 16), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        golden[name + ".ids"], golden[name + ".logits"] = ids.int(), model(ids).logits[0].contiguous()
    print(name, sum(os.path.getsize(os.path.join(folder, f)) for f in os.listdir(folder)))


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    small = dict(hidden_size=64, intermediate_size=64, num_attention_heads=4, num_key_value_heads=2)
    write("awq", [awq], {"quant_method": "awq", "bits": 4, "group_size": 32, "zero_point": True, "version": "gemm"}, **small)
    write("gptq", [gptq, gptq_straight], {"quant_method": "gptq", "bits": 4, "group_size": 32, "desc_act": True,
                                          "sym": False, "checkpoint_format": "gptq"}, **small)
    write("qserve", [qserve], None, norms=False, hidden_size=64, intermediate_size=128, num_attention_heads=1,
          num_key_value_heads=1, head_dim=32)
    save_file(golden, os.path.join(OUT, "golden.safetensors"))


main()
