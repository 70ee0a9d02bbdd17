#!/usr/bin/env python3
"""What the `tokenizers` package says, for tests/text/test_tokenizer_golden.c.

    build/release/tests/text_tokenizer_golden tests/golden/text/learned.json
    python tests/oracle/tokenizer.py                      writes tests/golden/text; needs tokenizers, sentencepiece,
                                                          transformers
    python tests/oracle/tokenizer.py --corpus             writes tests/fuzz/corpus/tokenizer
    python tests/oracle/tokenizer.py --live PROGRAM [N]   compares N texts for each tokenizer, and what is learned
    python tests/oracle/tokenizer.py --file PROGRAM FILE [N]   the same for one tokenizer.json or tokenizer.model

learned.json is of Frugal's trainer; the others are trained here on made text, with what is particular to the files of
GPT-2, Llama 3, Qwen2 and RoBERTa, and one (cuts) with the rarer ways to cut; then Llama 2, Mistral, Gemma, Phi-3, T5,
XLM-R, BERT, and one (odd) with the rarer parts (tokenizer_models.py). NAME.cases holds texts, each with its ids (plain;
then with what the post-processor puts around and special tokens found) and its text after decoding. NAME.model are of
the `sentencepiece` package, which then says the ids.

PROGRAM of --live is text_tokenizer_golden, which says what Frugal makes of other texts.
"""
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import unicodedata

import sentencepiece
import tokenizer_models
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, processors, trainers
from tokenizers import pre_tokenizers as pre

HERE = os.path.dirname(os.path.abspath(__file__))
CORPUS = os.path.join(HERE, "..", "fuzz", "corpus", "tokenizer")
GOLDEN = os.path.join(HERE, "..", "golden", "text")
WORDS = """circle square star red green blue left right above below of a the three How many are there it's don't
they'll we've I'LL 'S naïve straße Ünïcode 日本語 한국어 x_1 (a+b) -> ... ?! <= == 0x7f 12 345 3.14 ½ Ⅷ ٣٤ 😀 👍🏽 👩‍👩‍👧
return; if(x){y} // /* */ “quoted” «so» — …""".split()
SPACES = " \t\n\r\v\f\x85\u00a0\u2003\u3000\u180e"
BYTES = dict(add_prefix_space=False, use_regex=False)
# What character maps join, sums that come out the same on two ways, runs of what is not known.
MARKS = ["e\u0301 te\u0301t a\u030a \u00e0\u0301e\u0301\u0301 \u2163 \ufb01 \u00bd\u00ad x\u2026", "a1....red....x_1....", "====12==",
         "\u9f98\u9f98\u9f98 a\u9f98b \u9f98", "Red redder red-red starstar star.", "Cafe\u0301 caf\u00e9 CAF\u00c9 \u0130I"]
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace("{1,3}", "")


def character(rng):
    """Any, but only those that every library's tables know: of Unicode 3.2."""
    while True:
        c = chr(rng.randrange(rng.choice([0x80, 0x250, 0x3000, 0x10000, 0x110000])))
        if unicodedata.ucd_3_2_0.category(c) not in ("Cn", "Cs", "Co"):
            return c


def made_line(rng):
    return "".join(rng.choice(["", " ", " ", " ", "  ", "\n"]) + rng.choice(WORDS) for _ in range(rng.randrange(1, 20)))


def made_case(rng, added):
    kind = rng.randrange(7)
    if kind < 2:
        return made_line(rng)
    if kind == 2:
        return "".join(character(rng) for _ in range(rng.randrange(20)))
    if kind == 3:
        return "".join(rng.choice(SPACES + " a1.") for _ in range(rng.randrange(25)))
    if kind == 4:
        return "".join(rng.choice("0123456789 .,+-") for _ in range(rng.randrange(30)))
    if kind == 5:
        return "".join(rng.choice([*added, "a", " ", "\n", ".", "<", "<s"]) for _ in range(rng.randrange(8)))
    return rng.choice("ab \n!e") * rng.randrange(90) + rng.choice(["", "x", "\u0301", " 1"])


def train(pre_tokenizer, special, added=(), normalizer=None, post=None, ignore_merges=False, size=500):
    rng = random.Random(4)
    t = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    t.pre_tokenizer = pre_tokenizer
    t.decoder = decoders.ByteLevel()
    if normalizer:
        t.normalizer = normalizer
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=special, show_progress=False,
                                  initial_alphabet=sorted(pre.ByteLevel.alphabet()))
    t.train_from_iterator([made_line(rng) for _ in range(400)], trainer)
    t.add_tokens(list(added))
    if post:
        t.post_processor = post(t)
    return t


def split(pattern, behavior="isolated", invert=False):
    return pre.Split(Regex(pattern), behavior, invert)


def all_trained():
    begin = lambda t: processors.TemplateProcessing(
        single="<|begin_of_text|> $A", pair="<|begin_of_text|> $A <|begin_of_text|> $B",
        special_tokens=[("<|begin_of_text|>", t.token_to_id("<|begin_of_text|>"))])
    yield "gpt2", train(pre.ByteLevel(add_prefix_space=False), ["<|endoftext|>"],
                        post=lambda t: processors.ByteLevel(trim_offsets=False))
    yield "llama3", train(
        pre.Sequence([split(LLAMA3), pre.ByteLevel(**BYTES)]), [], ignore_merges=True,
        added=[AddedToken(s, special=True) for s in ("<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>")],
        post=lambda t: processors.Sequence([processors.ByteLevel(trim_offsets=False), begin(t)]))
    yield "qwen2", train(pre.Sequence([split(QWEN2), pre.ByteLevel(**BYTES)]), ["<|endoftext|>", "<|im_end|>"],
                         normalizer=normalizers.NFC(), added=["<tool>", " red", "red star", "star"])
    yield "roberta", train(
        pre.ByteLevel(add_prefix_space=True), ["<s>", "</s>"],
        added=[AddedToken("<mask>", lstrip=True, special=True), AddedToken("<r>", rstrip=True)],
        post=lambda t: processors.RobertaProcessing(("</s>", 1), ("<s>", 0), add_prefix_space=True))
    # The space before every piece shows where the cuts are.
    yield "cuts", train(pre.Sequence([
        split("[.!]", "merged_with_previous"), pre.Split("-", "merged_with_next"), split(r"[\s\w]", "contiguous", True),
        split(r"\w+ ?"), split("[^89q]", "removed", True), pre.Digits(individual_digits=True),
        pre.ByteLevel(add_prefix_space=True)]), ["<s>"])


def pack(data):
    return struct.pack("<H", len(data)) + data


def pack_ids(ids):
    return struct.pack(f"<H{len(ids)}H", len(ids), *ids)


def without_special_names(t):
    """Unigram would find the names of special tokens in any text, also where they are asked not to stand for them;
    Frugal does not."""
    j = json.loads(t.to_str())
    if j["model"]["type"] != "Unigram":
        return t
    names = {a["content"] for a in j["added_tokens"] if a["special"]}
    for i, pair in enumerate(j["model"]["vocab"]):
        if pair[0] in names:
            pair[0] = f"\U000F0000{i}\U000F0001"
    j["added_tokens"] = [a for a in j["added_tokens"] if not a["special"]]
    j["post_processor"] = None
    return Tokenizer.from_str(json.dumps(j))


def answers(t, texts):
    """The form of NAME.cases, text by text."""
    if not isinstance(t, Tokenizer):
        yield from sentence_answers(t, texts)
        return
    other = without_special_names(t)
    for text in texts:
        other.encode_special_tokens = True
        plain = other.encode(text, add_special_tokens=False).ids
        t.encode_special_tokens = False
        full = t.encode(text).ids
        said = t.decode(full, skip_special_tokens=True)
        yield pack(text.encode()) + pack_ids(plain) + pack_ids(full) + pack(said.encode())


def sentence_answers(sp, texts):
    begin = [sp.bos_id()] if sp.bos_id() >= 0 else []
    for text in texts:
        ids = sp.encode(text)
        said = sp.decode([i for i in ids if i != sp.unk_id()])
        yield pack(text.encode()) + pack_ids(ids) + pack_ids(begin + ids) + pack(said.encode())


def texts_for(t, count, seed):
    rng = random.Random(seed)
    added = names_in(t)
    return [made_case(rng, added) for _ in range(count)]


def names_in(t):
    if isinstance(t, Tokenizer):
        return [a.content for a in t.get_added_tokens_decoder().values()]
    return [t.id_to_piece(i) for i in range(t.vocab_size()) if t.id_to_piece(i) in tokenizer_models.USERS]


def opened(path):
    if path.endswith(".model"):
        return sentencepiece.SentencePieceProcessor(path)
    t = Tokenizer.from_file(path)
    t.no_padding()
    t.no_truncation()
    return t


def write():
    rng = random.Random(4)
    tokenizer_models.write(GOLDEN, [made_line(rng) for _ in range(400)])
    for name in tokenizer_models.NAMES:
        t = opened(os.path.join(GOLDEN, name))
        with open(os.path.join(GOLDEN, name.rsplit(".", 1)[0] + ".cases"), "wb") as f:
            f.writelines(answers(t, texts_for(t, 70, 1) + MARKS))
    tokenizers = [("learned", Tokenizer.from_file(os.path.join(GOLDEN, "learned.json")))]
    for name, t in all_trained():
        t.save(os.path.join(GOLDEN, name + ".json"), pretty=False)
        tokenizers.append((name, t))
    for name, t in tokenizers:
        with open(os.path.join(GOLDEN, name + ".cases"), "wb") as f:
            f.writelines(answers(t, texts_for(t, 160, 1)))


def unpack(data):
    at = 0
    while at < len(data):
        size = struct.unpack_from("<H", data, at)[0]
        yield data[at + 2:at + 2 + size].decode()
        at += 2 + size


def learns_the_same(program):
    """The package's trainer goes by the same rules down to the order of equals: so do its merges."""
    with open(os.path.join(GOLDEN, "learned.json")) as f:
        ours = json.load(f)["model"]
    with tempfile.NamedTemporaryFile() as f:
        subprocess.run([program, "--text", f.name], check=True)
        texts = list(unpack(f.read()))
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = Tokenizer.from_file(os.path.join(GOLDEN, "learned.json")).pre_tokenizer
    t.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=len(ours["vocab"]), min_frequency=2, special_tokens=["<s>", "</s>", "<|pad|>"], show_progress=False,
        initial_alphabet=pre.ByteLevel.alphabet()))
    theirs = json.loads(t.to_str())["model"]
    same = ours["vocab"] == theirs["vocab"] and [m.split(" ") for m in ours["merges"]] == theirs["merges"]
    print("learning:", len(theirs["merges"]), "merges,", "the same" if same else "not the same")
    return same


def compare(program, path, count):
    name = os.path.basename(path)
    t = opened(path)
    texts = texts_for(t, count, 2)
    with tempfile.TemporaryDirectory() as folder:
        cases, out = os.path.join(folder, "cases"), os.path.join(folder, "out")
        with open(cases, "wb") as f:
            f.writelines(pack(text.encode()) for text in texts)
        subprocess.run([program, path, cases, out], check=True)
        with open(out, "rb") as f:
            got = f.read()
    at = 0
    for text, want in zip(texts, answers(t, texts)):
        if got[at:at + len(want)] != want:
            print(f"{name}: not the same: {text!r}\n  want {want!r}\n  got  {got[at:at + len(want)]!r}")
            return False  # what follows stands elsewhere
        at += len(want)
    print(f"{name}: {count} texts, the same")
    return True


def live(program, count):
    bad = 0 if learns_the_same(program) else 1
    for name in sorted(n for n in os.listdir(GOLDEN) if n.endswith((".json", ".model"))):
        bad += not compare(program, os.path.join(GOLDEN, name), count)
    return 1 if bad else 0


def corpus():
    """Small files that reach every part of the reader, right and hostile ones."""
    letters = sorted(pre.ByteLevel.alphabet())
    vocab = {c: i for i, c in enumerate(letters)}
    merges = ["a b", "t e", "te x", "\u0120 te", "l l", "' s"]
    vocab.update((m.replace(" ", ""), 256 + i) for i, m in enumerate(merges))
    bytes_only = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}
    model = {"type": "BPE", "vocab": vocab, "merges": merges}
    cut = lambda pattern, behavior="Isolated": {"type": "Split", "pattern": {"Regex": pattern}, "behavior": behavior}
    then = lambda *steps: {"type": "Sequence", "pretokenizers": [*steps, bytes_only]}
    added = lambda name, number, **more: {"id": number, "content": name, **more}
    base = {"version": "1.0", "model": model, "pre_tokenizer": then(cut(LLAMA3)), "decoder": {"type": "ByteLevel"}}
    change = lambda **more: {**base, **more}
    with_model = lambda **more: change(model={**model, **more})
    template = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
                                                         {"Sequence": {"id": "A", "type_id": 0}}],
                "pair": [], "special_tokens": {"<s>": {"id": "<s>", "ids": [300], "tokens": ["<s>"]}}}
    ends = [added("<s>", 300, special=True), added("</s>", 301, special=True, lstrip=True, rstrip=True)]
    files = {
        "split": change(added_tokens=ends, post_processor={"type": "Sequence", "processors": [bytes_only, template]}),
        "gpt2": change(pre_tokenizer={"type": "ByteLevel"}),
        "normal": change(normalizer={"type": "NFC"}, added_tokens=[added("ex", 280, normalized=True)]),
        "around": change(added_tokens=ends, post_processor={"type": "RobertaProcessing", "sep": ["</s>", 301],
                                                            "cls": ["<s>", 300]}),
        "cuts": change(pre_tokenizer=then(cut("[e ]", "MergedWithNext"), cut("\\w", "Contiguous"), {"type": "Digits"})),
        "pairs": with_model(merges=[m.split(" ") for m in merges], ignore_merges=True),
        "slow": change(pre_tokenizer=then(cut("(t*[te]*x?)*Q"))),
        "empty_match": change(pre_tokenizer=then(cut("x*", "Removed"))),
        "bad_pattern": change(pre_tokenizer=then(cut("[a&&b](?<=x*)"))),
        "far_id": with_model(vocab={"a": 2**31 - 1}),
        "negative_id": with_model(vocab={"a": -1}),
        "two_names": with_model(vocab={"a": 0, "b": 0}),
        "unknown_merge": with_model(vocab={"a": 0}, merges=["a b"]),
        "half_merge": with_model(vocab={"a": 0}, merges=["a"]),
        "no_bytes": with_model(vocab={"a": 0, "aa": 1}, merges=["a a"]),
        "word_piece": with_model(type="WordPiece"),
        "fallback": with_model(byte_fallback=True),
        "added_far": change(added_tokens=[added("xx", 10**9)]),
        "template_id": change(post_processor={**template, "special_tokens": {"<s>": {"ids": [10**6]}}}),
    }
    os.makedirs(CORPUS, exist_ok=True)
    tokenizer_models.write_seeds(CORPUS)
    for name in ("llama2.json", "t5.json", "bert.json", "sentence_bpe.model", "sentence_unigram.model"):
        shutil.copy(os.path.join(GOLDEN, name), CORPUS)
    for name, content in files.items():
        with open(os.path.join(CORPUS, name + ".json"), "w") as f:
            f.write(json.dumps(content, ensure_ascii=False, separators=(",", ":")))
            if name in ("split", "normal"):
                f.write("\0te\u0301xt <s> ab")


if __name__ == "__main__":
    if sys.argv[1:] == ["--corpus"]:
        corpus()
        sys.exit()
    if sys.argv[1:2] == ["--file"]:
        sys.exit(not compare(sys.argv[2], sys.argv[3], int(sys.argv[4]) if len(sys.argv) > 4 else 2000))
    if sys.argv[1:2] == ["--live"]:
        sys.exit(live(sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 2000))
    write()
