#!/usr/bin/env python3
"""What transformers makes of the shipped model tales, for tests/text/test_tales.c.

    python tests/oracle/tales.py [MODEL [FILE]]      needs torch, transformers, tokenizers and safetensors

Reads models/tales and writes tests/golden/model/tales.safetensors. For each prompt i:
    prompt/i  its bytes                       ids/i   its ids, <bos> first
    next/i    what the model says behind it in f32, the likeliest token each time, with the <eos>
    gap/i     by how much the logit of each of these tokens is above the second's
    at/i      places of prompt and answer together, whose logits are
    full/i    computed in f32, and
    half/i    in bf16
"""
import os
import sys

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
PROMPTS = [
    "There are two red circles and a blue star. How many circles are there?",
    "From left to right: a blue ring, a green dome, a purple dome. What is left of the green dome?",
    "What is 23 + 48?",
    "Count down from 65 to 62:",
    "One morning Ben met Ruth in the field. Ben had brought his green kite.",
    "Grüße! 中文 \U0001F600 don't  \n\tX",  # nothing that it ever saw: for the tokenizer
]
MOST = 64


def greedy(model, ids, eos):
    said, gaps = [], []
    for _ in range(MOST):
        logits = model(torch.tensor([ids + said])).logits[0, -1]
        top = logits.topk(2)
        said.append(int(top.indices[0]))
        gaps.append(float(top.values[0] - top.values[1]))
        if said[-1] == eos:
            break
    return said, gaps


def main(folder, path):
    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    full = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    half = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).eval()
    out = {}
    for i, prompt in enumerate(PROMPTS):
        ids = tokenizer(prompt).input_ids
        said, gaps = greedy(full, ids, full.config.eos_token_id)
        whole = torch.tensor([ids + said])
        at = sorted({0, len(ids) // 2, len(ids) - 1, len(ids) + len(said) - 1})
        a, b = full(whole).logits[0], half(whole).logits[0].float()
        out[f"prompt/{i}"] = torch.tensor(list(prompt.encode()), dtype=torch.uint8)
        out[f"ids/{i}"] = torch.tensor(ids, dtype=torch.int32)
        out[f"next/{i}"] = torch.tensor(said, dtype=torch.int32)
        out[f"gap/{i}"] = torch.tensor(gaps)
        out[f"at/{i}"] = torch.tensor(at, dtype=torch.int32)
        out[f"full/{i}"], out[f"half/{i}"] = a[at].contiguous(), b[at].bfloat16().contiguous()
        print(f"{prompt!r} -> {tokenizer.decode(said)!r}")
        print(f"    smallest gap {min(gaps):.3f}, bf16 differs by {float((a - b).norm() / a.norm()):.2g}")
    save_file(out, path)


if __name__ == "__main__":
    args = sys.argv[1:]
    with torch.no_grad():
        main(args[0] if args else os.path.join(ROOT, "models", "tales"),
             args[1] if len(args) > 1 else os.path.join(ROOT, "tests", "golden", "model", "tales.safetensors"))
