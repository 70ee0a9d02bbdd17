"""Models with random weights for bench/llm.py: a folder of Hugging Face's layout in bf16 and GGUF files for llama.cpp.

All layers hold the same random values: what is measured does not depend on values, and each layer still has bytes of
its own in the files. Files that are there stay."""
import ctypes
import json
import os

import numpy as np

SHAPES = {
    # That of Llama-3.2-1B.
    "1b": dict(vocab=128256, width=2048, hidden=8192, layers=16, heads=32, kv_heads=8, head_dim=64, theta=500000.0),
    # To try the bench itself.
    "tiny": dict(vocab=4096, width=512, hidden=1024, layers=2, heads=8, kv_heads=2, head_dim=64, theta=500000.0),
}
CONTEXT = 8192
FTYPES = {"q4_0": 2, "q4_k_m": 15}


def half(x):
    """f32 -> bf16, as u16."""
    u = np.ascontiguousarray(x, np.float32).view(np.uint32)
    return ((u + 0x7FFF + ((u >> 16) & 1)) >> 16).astype(np.uint16)


def layer_tensors(c, rng):
    w, h, q, kv = c["width"], c["hidden"], c["heads"] * c["head_dim"], c["kv_heads"] * c["head_dim"]
    make = lambda n, k: half(rng.standard_normal((n, k), np.float32) * np.float32(k**-0.5))
    return {
        "self_attn.q_proj": make(q, w), "self_attn.k_proj": make(kv, w), "self_attn.v_proj": make(kv, w),
        "self_attn.o_proj": make(w, q), "mlp.gate_proj": make(h, w), "mlp.up_proj": make(h, w),
        "mlp.down_proj": make(w, h), "input_layernorm": half(np.ones(w)), "post_attention_layernorm": half(np.ones(w)),
    }


def tensors(c):
    rng = np.random.default_rng(1)
    embed = half(rng.standard_normal((c["vocab"], c["width"]), np.float32) * np.float32(0.05))
    layer = layer_tensors(c, rng)
    yield "model.embed_tokens.weight", embed
    for i in range(c["layers"]):
        for name, x in layer.items():
            yield f"model.layers.{i}.{name}.weight", x
    yield "model.norm.weight", half(np.ones(c["width"]))


def config(c):
    return {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": c["vocab"],
            "hidden_size": c["width"], "intermediate_size": c["hidden"], "num_hidden_layers": c["layers"],
            "num_attention_heads": c["heads"], "num_key_value_heads": c["kv_heads"], "head_dim": c["head_dim"],
            "max_position_embeddings": CONTEXT, "rms_norm_eps": 1e-5, "rope_theta": c["theta"],
            "tie_word_embeddings": True, "hidden_act": "silu", "torch_dtype": "bfloat16",
            "bos_token_id": 0, "eos_token_id": 1}


def write_folder(c, path):
    """model.safetensors, written tensor by tensor."""
    if os.path.exists(os.path.join(path, "config.json")):
        return path
    os.makedirs(path, exist_ok=True)
    head, at = {}, 0
    for name, x in tensors(c):
        head[name] = {"dtype": "BF16", "shape": list(x.shape), "data_offsets": [at, at + x.nbytes]}
        at += x.nbytes
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 64)
    with open(os.path.join(path, "model.safetensors"), "wb") as f:
        f.write(len(text).to_bytes(8, "little"))
        f.write(text)
        for _, x in tensors(c):
            f.write(x.tobytes())
    with open(os.path.join(path, "config.json"), "w") as f:
        json.dump(config(c), f, indent=1)
    return path


def permute(x, heads):
    """q and k of llama's GGUF: pairs side by side."""
    return np.ascontiguousarray(x.reshape(heads, 2, x.shape[0] // heads // 2, x.shape[1]).swapaxes(1, 2)).reshape(x.shape)


GGUF_NAMES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
              "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
              "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}


def write_gguf(c, path):
    """In bf16, norms in f32, with a vocabulary that is only counted."""
    import gguf

    if os.path.exists(path):
        return path
    w = gguf.GGUFWriter(path + ".part", "llama")
    w.add_vocab_size(c["vocab"])
    w.add_context_length(CONTEXT)
    w.add_embedding_length(c["width"])
    w.add_feed_forward_length(c["hidden"])
    w.add_block_count(c["layers"])
    w.add_head_count(c["heads"])
    w.add_head_count_kv(c["kv_heads"])
    w.add_rope_dimension_count(c["head_dim"])
    w.add_rope_freq_base(c["theta"])
    w.add_layer_norm_rms_eps(1e-5)
    w.add_file_type(32)
    w.add_tokenizer_model("no_vocab")
    for name, x in tensors(c):
        words = name.split(".")
        if name == "model.embed_tokens.weight":
            new = "token_embd.weight"
        elif name == "model.norm.weight":
            new = "output_norm.weight"
        else:
            old = ".".join(words[3:-1])
            new = f"blk.{words[2]}.{GGUF_NAMES[old]}.weight"
            if old.endswith(("q_proj", "k_proj")):
                x = permute(x, c["heads"] if old.endswith("q_proj") else c["kv_heads"])
        if x.ndim == 1:
            w.add_tensor(new, (x.astype(np.uint32) << 16).view(np.float32))
        else:
            w.add_tensor(new, x.view(np.uint8), raw_dtype=gguf.GGMLQuantizationType.BF16)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    os.rename(path + ".part", path)
    return path


def quantize_gguf(source, path, kind, threads):
    import llama_cpp

    if os.path.exists(path):
        return path
    p = llama_cpp.llama_model_quantize_default_params()
    p.ftype = FTYPES[kind]
    p.nthread = threads
    if llama_cpp.llama_model_quantize(source.encode(), (path + ".part").encode(), ctypes.byref(p)):
        raise SystemExit(f"llama.cpp did not quantize {source} to {kind}")
    os.rename(path + ".part", path)
    return path


def make(shape, where, threads):
    """Paths of all files: {"bf16": folder, "gguf": ..., "q4_0": ..., "q4_k_m": ...}."""
    c = SHAPES[shape]
    base = os.path.join(where, shape)
    os.makedirs(base, exist_ok=True)
    out = {"bf16": write_folder(c, os.path.join(base, "bf16")), "gguf": write_gguf(c, os.path.join(base, "bf16.gguf"))}
    for kind in FTYPES:
        out[kind] = quantize_gguf(out["gguf"], os.path.join(base, kind + ".gguf"), kind, threads)
    return out
