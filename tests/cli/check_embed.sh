#!/bin/sh
# check_embed.sh FRUGAL BERT TALES: `frugal embed` with a small BertModel whose words are letters, and answers to wrong calls.
bert=$(cd "$2" && pwd) || exit 1
tales=$(cd "$3" && pwd) || exit 1
. "$(dirname "$0")/expect.sh"

mkdir m m/1_Pooling
cp "$bert/config.json" "$bert/model.safetensors" m
cat >m/tokenizer.json <<'END'
{"version": "1.0", "added_tokens": [
  {"id": 0, "content": "[PAD]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
  {"id": 1, "content": "[UNK]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
  {"id": 2, "content": "[CLS]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
  {"id": 3, "content": "[SEP]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
 "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true},
 "pre_tokenizer": {"type": "BertPreTokenizer"},
 "post_processor": {"type": "TemplateProcessing",
  "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
  "pair": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}, {"SpecialToken": {"id": "[SEP]", "type_id": 1}}],
  "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]}, "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]}}},
 "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
 "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
  "vocab": {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "a": 4, "b": 5, "c": 6, "d": 7, "##a": 8, "##b": 9, "cat": 10, "dog": 11}}}
END

# without modules.json: the mean as it is, a line a text
expect 0 embed m 'a cat' 'a dog'
silent_err
[ "$(wc -l <out)" -eq 2 ] && [ "$(head -1 out | wc -w)" -eq 32 ] || complain 'not two lines of 32 numbers'
cp out mean
printf 'a cat\r\na dog\n' >texts
expect 0 embed m -f texts
cmp -s out mean || complain 'another vector from a file'
"$frugal" embed m <texts >out
cmp -s out mean || complain 'another vector from standard input'
expect 0 embed m 'a cat' 'a dog' --threads 1
cmp -s out mean || complain 'another vector with one thread'

cat >m/modules.json <<'END'
[{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
 {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
 {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}]
END
pooling() { echo "{\"pooling_mode_cls_token\": $1, \"pooling_mode_mean_tokens\": $2, \"pooling_mode_max_tokens\": $3}" >m/1_Pooling/config.json; }
pooling false true false
expect 0 embed m --json 'a cat'
json_holds 'd["text"] == "a cat" and abs(sum(x * x for x in d["vector"]) - 1) < 1e-5'
cp out normal
pooling true false false
expect 0 embed m --json 'a cat'
json_holds 'abs(sum(x * x for x in d["vector"]) - 1) < 1e-5'
cmp -s out normal && complain 'the first token gives the same as the mean'
expect 0 embed m -f texts --similar 'A  CAT' --top 1
out_has '^1\.0000  a cat$'
out_lacks dog
expect 0 embed m dog 'a cat' --similar 'a cat' --top 1 --json
json_holds 'd["line"] == 2 and d["cosine"] > 0.99999'

# cut off, and said
expect 0 embed m 'a a a a a a'
silent_err
cp out whole
echo '{"max_seq_length": 5}' >m/sentence_bert_config.json
expect 0 embed m 'a a a a a a'
err_has '1 of 1 texts are longer than 5 tokens'
cmp -s out whole && complain 'the rest of a long text counts'
cp out short
expect 0 embed m 'a a a'
cmp -s out short || complain 'a text that was cut off is not its beginning'
rm m/sentence_bert_config.json
expect 0 embed m 'a a a a a a a a a a a a a a a a a a a a a a a a a a a'
err_has 'longer than 24 tokens'

# an encoder in few bits, and what says that it is none that speaks
pooling false true false
cp m/config.json whole-config
expect 0 quantize m -o eight -r w8a8 --samples 60 --evaluate 20 --quiet --json figures
silent_err
out_has '^layer +weights, dB +outputs, dB +worst, dB +of'
out_has '^1 +[0-9.]+ +[0-9.]+ +[0-9.]+ +(attention|intermediate|output)\.'
out_has '^linears: (8|9)\.[0-9]+ bits a weight; file: '
out_has '^cosine of vectors before and after: 0\.99[0-9]+ on average, .* of 20$'
out_has '^eight: w8a8 in int8-channel'
mv figures out
json_holds 'd["recipe"] == "w8a8" and d["cosine"] > 0.99 and d["bytes"] < d["bytes_before"]'
cp eight/config.json out
json_holds 'd["frugal_quantization"]["weights"] == "int8-channel" and d["model_type"] == "bert"'
for f in tokenizer.json modules.json 1_Pooling/config.json; do
    [ -s eight/$f ] || complain "there is no $f"
done
expect 0 embed eight -f texts --similar 'a cat' --top 1
out_has '^1\.0000  a cat$'
expect 0 quantize m -o again -r w8a8 --samples 60 --evaluate 0 --quiet --threads 1
cmp -s eight/model.safetensors again/model.safetensors || complain 'other bytes with one thread'
printf 'a cat\n\na dog and a cat\n' >lines
expect 0 quantize m -o own -r w8a8 --calibrate lines --quiet
expect 1 quantize eight -o x -r w8a8
err_has 'in few bits already'
expect 1 quantize m -o x --kv 8
err_has 'are for decoders'
expect 1 quantize m -o x.gguf -r gguf-q8_0
err_has 'no GGUF of encoders'
expect 1 quantize m -o x -r w8a8 --memory 0.001
err_has 'of memory, and 1.00 MB are allowed'
: >empty
expect 1 quantize m -o x --calibrate empty
err_has 'is empty'
expect 2 quantize "$tales" -o x -r w4a8-g128
err_has 'is for encoders'
expect 1 run m -p a
err_has 'is an encoder.*frugal embed'
expect 1 chat m
err_has 'is an encoder.*frugal embed'

# what cannot be
pooling false false true
expect 1 embed m a
err_has 'pooling_mode_max_tokens'
pooling true true false
expect 1 embed m a
err_has 'both'
sed -i 's/models.Normalize/models.Dense/' m/modules.json
pooling true false false
expect 1 embed m a
err_has '"Dense"'
sed -i 's/1_Pooling/..\/1_Pooling/' m/modules.json
expect 1 embed m a
err_has 'not inside'
rm m/modules.json
expect 1 embed m -f nowhere.txt
err_has 'nowhere.txt'
expect 1 embed "$tales" a
err_has 'no encoder.*"llama"'
expect 1 embed no-such-model a
err_has 'no-such-model'
expect 2 embed
err_has 'which model'
expect 2 embed m --what
err_has '"--what"'
expect 2 embed m a --similar b --top 0
err_has '"0"'
expect 2 embed m a -f texts
err_has 'not from both'
rm m/tokenizer.json
expect 1 embed m a
err_has 'token'
verdict
