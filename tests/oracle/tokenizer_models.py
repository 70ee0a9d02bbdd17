"""Small tokenizers in the configurations of families that came from SentencePiece or BERT, for tokenizer.py: a model is
trained with the `sentencepiece` package and turned into a tokenizer.json the way `transformers` turns one."""
import io
import os

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, processors, trainers
from tokenizers import pre_tokenizers as pre
from transformers.tokenization_utils_base import generate_merges

NAMES = ["llama2.json", "mistral.json", "gemma.json", "phi3.json", "t5.json", "xlmr.json", "bert.json", "odd.json",
         "sentence_bpe.model", "sentence_unigram.model"]
USERS = ["<user>", "<t", "\u2581\u2581\u2581", "12"]
RULES = "".join(f"{a}\t{b}\n" for a, b in [  # code points; what some characters become
    ("09", "20"), ("0A", "20"), ("0D", "20"), ("A0", "20"), ("3000", "20"), ("2003", "20"), ("200B", "20"),
    ("BD", "31 2044 32"), ("2026", "2E 2E 2E"), ("FF21", "41"), ("65 301", "E9"), ("61 30A", "E5"), ("AD", ""),
    ("0B", ""), ("2163", "49 56"), ("FB01", "66 69"), ("E0 301", "E1 300")])


def trained(folder, lines, kind, name, **more):
    rules = os.path.join(folder, "rules.tsv")
    with open(rules, "w") as f:
        f.write(RULES)
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=out, model_type=kind, minloglevel=2, num_threads=1,
        hard_vocab_limit=False, character_coverage=0.995,
        **({"normalization_rule_tsv": rules} if more.pop("rules", False) else {}), **more)
    os.remove(rules)
    if name:
        with open(os.path.join(folder, name), "wb") as f:
            f.write(out.getvalue())
    proto = sentencepiece.sentencepiece_model_pb2.ModelProto() if hasattr(sentencepiece, "sentencepiece_model_pb2") \
        else __import__("sentencepiece.sentencepiece_model_pb2", fromlist=["x"]).ModelProto()
    proto.ParseFromString(out.getvalue())
    return proto


def bpe(proto, **more):
    vocab = {p.piece: i for i, p in enumerate(proto.pieces)}
    return Tokenizer(models.BPE(vocab, generate_merges(vocab), unk_token="<unk>", fuse_unk=True, byte_fallback=True,
                                **more))


def special(*names, **more):
    return [AddedToken(n, special=True, normalized=False, **more) for n in names]


def back(strip):
    return decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()] +
                             ([decoders.Strip(content=" ", left=1)] if strip else []))


def begin(t, name="<s>"):
    return processors.TemplateProcessing(single=f"{name} $A", pair=f"{name} $A {name}:1 $B:1",
                                         special_tokens=[(name, t.token_to_id(name))])


def llama2(proto):
    t = bpe(proto)
    t.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    t.decoder = back(True)
    t.add_special_tokens(special("<unk>", "<s>", "</s>"))
    t.add_tokens([AddedToken("red", normalized=True), AddedToken(" star", normalized=True)])
    t.post_processor = begin(t)
    return t


def mistral(proto):
    t = bpe(proto)
    t.pre_tokenizer = pre.Metaspace(replacement="\u2581", prepend_scheme="first", split=False)
    t.decoder = back(True)
    t.add_special_tokens(special("<unk>", "<s>", "</s>", "[INST]", "[/INST]"))
    t.post_processor = begin(t)
    return t


def gemma(proto):
    t = bpe(proto)
    t.normalizer = normalizers.Replace(" ", "\u2581")
    t.pre_tokenizer = pre.Split(" ", "merged_with_previous")
    t.decoder = back(False)
    t.add_special_tokens(special("<unk>", "<s>", "</s>", "<start_of_turn>"))
    t.add_tokens([AddedToken("\n\n", normalized=False), AddedToken("\u2581\u2581", normalized=False)])
    t.post_processor = begin(t)
    return t


def phi3(proto):
    t = llama2(proto)
    t.add_special_tokens(special("<|user|>", "<|end|>", rstrip=True))
    t.add_tokens([AddedToken("<|x|>", lstrip=True, normalized=False)])
    return t


def unigram(proto, fallback=False):
    return Tokenizer(models.Unigram([(p.piece, p.score) for p in proto.pieces], unk_id=proto.trainer_spec.unk_id,
                                    byte_fallback=fallback))


def t5(proto):
    t = unigram(proto)
    t.normalizer = normalizers.Sequence([normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap),
                                         normalizers.Strip(left=False, right=True),
                                         normalizers.Replace(Regex(" {2,}"), "\u2581")])
    t.pre_tokenizer = pre.Metaspace(replacement="\u2581", prepend_scheme="always")
    t.decoder = decoders.Metaspace(replacement="\u2581", prepend_scheme="always")
    t.add_special_tokens(special("<unk>", "<s>", "</s>", "<extra_id_0>"))
    t.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>",
                                                     special_tokens=[("</s>", t.token_to_id("</s>"))])
    return t


def xlmr(proto):
    t = unigram(proto, True)
    t.normalizer = normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap)
    t.pre_tokenizer = pre.Sequence([pre.WhitespaceSplit(), pre.Metaspace(prepend_scheme="always")])
    t.decoder = decoders.Metaspace()
    t.add_special_tokens(special("<unk>", "<s>", "</s>") + special("<mask>", lstrip=True))
    t.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", t.token_to_id("<s>")), ("</s>", t.token_to_id("</s>"))])
    return t


def word_piece(lines, size=400, **more):
    t = Tokenizer(models.WordPiece(unk_token="[UNK]", **more))
    t.normalizer = normalizers.BertNormalizer()
    t.pre_tokenizer = pre.BertPreTokenizer()
    t.decoder = decoders.WordPiece()
    t.train_from_iterator(lines, trainers.WordPieceTrainer(
        vocab_size=size, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False))
    t.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(n, t.token_to_id(n)) for n in ("[CLS]", "[SEP]")])
    return t


def odd(lines):
    t = Tokenizer(models.BPE(unk_token="<unk>", ignore_merges=True))
    t.normalizer = normalizers.Sequence([normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase(),
                                         normalizers.Strip()])
    t.pre_tokenizer = pre.Sequence([pre.Whitespace(), pre.Punctuation("merged_with_previous"),
                                    pre.CharDelimiterSplit("e")])
    t.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=200, special_tokens=["<unk>"], show_progress=False))
    t.add_tokens([AddedToken("Red", single_word=True, normalized=True), AddedToken("star", single_word=True),
                  AddedToken("<r>", rstrip=True, lstrip=True, normalized=False),
                  AddedToken("Caf\u00e9", normalized=True)])
    return t


def write(folder, lines):
    sentence = dict(vocab_size=420, byte_fallback=True, normalization_rule_name="identity",
                    remove_extra_whitespaces=False, allow_whitespace_only_pieces=True, split_digits=True)
    bpe_proto = trained(folder, lines, "bpe", None, **sentence)
    rules = dict(vocab_size=200, rules=True)
    unigram_proto = trained(folder, lines, "unigram", None, **rules)
    fallback = trained(folder, lines, "unigram", None, vocab_size=420, rules=True, byte_fallback=True)
    made = dict(llama2=llama2(bpe_proto), mistral=mistral(bpe_proto), gemma=gemma(bpe_proto), phi3=phi3(bpe_proto),
                t5=t5(unigram_proto), xlmr=xlmr(fallback), bert=word_piece(lines, max_input_chars_per_word=20),
                odd=odd(lines))
    for name, t in made.items():
        t.save(os.path.join(folder, name + ".json"), pretty=False)
    trained(folder, lines, "bpe", "sentence_bpe.model", **sentence, user_defined_symbols=USERS)
    trained(folder, lines, "unigram", "sentence_unigram.model", **rules,
            user_defined_symbols=[u for u in USERS if u != "\u2581\u2581\u2581"])  # ties of sums go by rounding there


def gguf_seed(path, kind, tokens, scores=None, types=None, merges=None, pre=None, **ids):
    import gguf  # only the seeds of the fuzzer need it
    g = gguf.GGUFWriter(path, "llama")
    g.add_tokenizer_model(kind)
    g.add_token_list(tokens)
    if scores:
        g.add_token_scores(scores)
    if types:
        g.add_token_types(types)
    if merges:
        g.add_token_merges(merges)
    if pre:
        g.add_tokenizer_pre(pre)
    for key, value in ids.items():
        g.add_uint32("tokenizer.ggml." + key, value)
    g.write_header_to_file()
    g.write_kv_data_to_file()
    g.close()


def write_seeds(folder):
    """Small GGUF files of every kind, right and hostile ones."""
    at = lambda name: os.path.join(folder, name + ".gguf")
    sp = "\u2581"
    tokens = ["<unk>", "<s>", "</s>", "<0x0A>", "<0xC3>", "<0xA9>", sp, "a", "t", "e", "te", "tex", sp + "te", "x", "ex",
              "<x>", "s", "of", sp + "o", "f"]
    n = len(tokens)
    types = [2, 3, 3, 6, 6, 6] + [1] * 9 + [4] + [1] * (n - 16)
    scores = [-float(i) for i in range(n)]
    gguf_seed(at("llama"), "llama", tokens, scores, types, unknown_token_id=0, bos_token_id=1)
    gguf_seed(at("not_a_number"), "llama", tokens, [float("nan")] * n, [1] * n)
    gguf_seed(at("t5"), "t5", tokens, scores, types, unknown_token_id=0)
    gguf_seed(at("bert"), "bert", ["[PAD]", "[UNK]", "[CLS]", "[SEP]"] + [sp + c for c in "abcdt"] + list("abcdetx"),
              None, [3, 2, 3, 3] + [1] * 12, unknown_token_id=1)
    letters = sorted(pre.ByteLevel.alphabet())
    gguf_seed(at("gpt2"), "gpt2", letters + ["te", "tex"], None, [1] * 258, ["t e", "te x"] * 9, "qwen2")
    gguf_seed(at("twice"), "gpt2", letters + ["aa", "aaaa"], None, [1] * 258, ["a a", "aa aa"] * 9, "llama-bpe")
