#!/usr/bin/env python3
"""Golden models for tests/model: two small Llama models with random weights, as transformers saves and runs them.

Writes tests/golden/model/{tied,untied}/: config.json and model.safetensors as save_pretrained leaves them (values
are bf16 numbers), and golden.safetensors: ids, targets, logits, loss and gradients of some parameters, computed in
f32 from these weights.

    python tests/oracle/llama.py                  needs torch, transformers and safetensors
    python tests/oracle/llama.py --check FOLDER   the other way round: FOLDER holds a model that Frugal wrote and
                                                  golden.safetensors with the ids and logits that Frugal got
"""
import os
import sys

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "model")
GRADS = ["model.embed_tokens.weight", "model.layers.0.self_attn.k_proj.weight", 
         "model.layers.1.mlp.down_proj.weight", "model.layers.1.input_layernorm.weight", "model.norm.weight"]


def fill(model, seed):
    gen = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            r = torch.randn(p.shape, generator=gen)
            p.copy_((1 + 0.2 * r if p.dim() == 1 else r * p.shape[-1] ** -0.5).bfloat16())


def golden(folder, seed, **config):
    path = os.path.join(OUT, folder)
    torch.manual_seed(seed)
    cfg = LlamaConfig(vocab_size=80, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                      max_position_embeddings=256, bos_token_id=0, eos_token_id=1, attn_implementation="eager", **config)
    model = LlamaForCausalLM(cfg).float().eval()
    fill(model, seed)
    half = LlamaForCausalLM(cfg).bfloat16()
    half.load_state_dict(model.state_dict())
    half.save_pretrained(path)
    gen = torch.Generator().manual_seed(seed + 1)
    ids = torch.randint(0, 80, (2, 12), generator=gen)
    target = torch.randint(0, 80, (2, 12), generator=gen)
    target[1, 9:] = -1
    logits = model(ids).logits
    loss = F.cross_entropy(logits.reshape(-1, 80), target.reshape(-1), ignore_index=-1)
    loss.backward()
    out = {"ids": ids.int(), "target": target.int(), "logits": logits.detach(), "loss": loss.detach().reshape(1)}
    for name in GRADS:
        out["grad/" + name] = dict(model.named_parameters())[name].grad
    save_file({k: v.contiguous() for k, v in out.items()}, os.path.join(path, "golden.safetensors"))
    print(folder, "loss", loss.item(), "largest logit", logits.abs().max().item())


def check(folder):
    data = load_file(os.path.join(folder, "golden.safetensors"))
    model, info = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    wrong = {k: v for k, v in info.items() if v}
    assert not wrong, wrong
    with torch.no_grad():
        logits = model.eval()(data["ids"].long()).logits
    error = (logits - data["logits"]).abs().max() / logits.abs().max()
    print(f"{folder}: largest difference of the logits {error:.2g} of the largest")
    assert error < 1e-5, "the logits differ"


if len(sys.argv) == 3 and sys.argv[1] == "--check":
    check(sys.argv[2])
else:
    golden("tied", 1, hidden_size=64, intermediate_size=72, tie_word_embeddings=True, rms_norm_eps=1e-5)
    golden("untied", 2, hidden_size=32, intermediate_size=56, head_dim=16, tie_word_embeddings=False, rms_norm_eps=1e-6,
           rope_parameters={"rope_type": "default", "rope_theta": 500000.0})
