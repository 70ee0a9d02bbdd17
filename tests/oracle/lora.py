#!/usr/bin/env python3
"""An adapter that PEFT wrote, and the loss that a model has with it, for tests/train/test_optimizer_lora.c.

    tests/golden/train/adapter/     adapter_config.json, adapter_model.safetensors
    tests/golden/train/adapter/loss.txt     the loss of the base alone, and with the adapter

The base's weights are whole numbers of a hash of their names, which the test makes alike.

    python tests/oracle/lora.py     needs torch, transformers and peft
"""
import os

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "train", "adapter")
torch.manual_seed(3)


def fill(name, shape):
    h = 2166136261
    for c in name.encode():
        h = ((h ^ c) * 16777619) % 2 ** 32
    i = np.arange(int(np.prod(shape)), dtype=np.uint64)
    x = (h ^ (i * 2654435761 % 2 ** 32)) * 2246822519 % 2 ** 32
    x = (x >> 16).astype(np.float64) / 65536 - 0.5
    x = 1 + x / 8 if len(shape) == 1 else x / 2
    return torch.from_numpy(x.astype(np.float32).reshape(shape))


config = LlamaConfig(vocab_size=48, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
                     num_key_value_heads=2, head_dim=8, max_position_embeddings=64, rms_norm_eps=1e-5,
                     rope_theta=10000.0, tie_word_embeddings=False, attn_implementation="eager")
model = LlamaForCausalLM(config).float().eval()
with torch.no_grad():
    for name, p in model.named_parameters():
        p.copy_(fill(name, tuple(p.shape)))
ids = torch.tensor([(i * i * 5 + 3) % 48 for i in range(32)]).view(2, 16)
base = model(input_ids=ids, labels=ids).loss.item()
peft = get_peft_model(model, LoraConfig(r=3, lora_alpha=6, init_lora_weights=False, task_type="CAUSAL_LM",
                                        target_modules=["q_proj", "v_proj", "o_proj", "up_proj", "down_proj"]))
with torch.no_grad():
    for name, p in peft.named_parameters():
        if "lora_" in name:
            p.mul_(2)
loss = peft(input_ids=ids, labels=ids).loss.item()
peft.save_pretrained(OUT)
os.remove(os.path.join(OUT, "README.md"))
with open(os.path.join(OUT, "loss.txt"), "w", encoding="utf-8") as f:
    f.write(f"{base:.8f} {loss:.8f}\n")
print(base, loss)
