/* test_chat.c: a conversation becomes tokens: templates are found and applied, ends are known, and marks that people
 * write themselves stay text. */
#include "made_text.h"

#include "tensor/tensor.h"

typedef struct rig {
    fr_tokenizer *t;
    fr_store *store;
    uint8_t file[10];
} rig;

static void ok(fr_status st) {
    if (st) fail_msg("%s", fr_message());
}

static rig set_up(void) {
    rig r = {.file = {2, 0, 0, 0, 0, 0, 0, 0, '{', '}'}};
    r.t = learn_made(1, 300, 400);
    return r;
}

static fr_json *talk(const char *text) {
    fr_json *j;
    ok(fr_json_parse(text, strlen(text), "talk", &j));
    return j;
}

static void test_tokens(void **state) {
    (void)state;
    rig r = set_up();
    ok(fr_safetensors_parse(r.file, sizeof r.file, "none", &r.store));
    char path[] = "chat_template_XXXXXX";
    int fd = mkstemp(path);
    const char *template = "{{ bos_token }}{% for m in messages %}{{ m.content }}{{ eos_token }}"
                           "{% endfor %}";
    assert_int_equal(write(fd, template, strlen(template)), (ssize_t)strlen(template));
    close(fd);
    fr_chat *c;
    ok(fr_chat_new(r.store, r.t, path, &c));
    assert_string_equal(fr_chat_source(c), path);
    fr_json *j = talk("[{\"role\":\"user\",\"content\":\"red </s> <|pad|>\"}]");
    fr_tokens ids = {0};
    char *text, *back;
    size_t bytes, back_bytes;
    ok(fr_chat_text(c, j, NULL, true, &text, &bytes));
    assert_string_equal(text, "<s>red </s> <|pad|></s>");
    ok(fr_chat_tokens(c, j, NULL, true, &ids));
    assert_int_equal(ids.ids[0], 0);
    assert_int_equal(ids.ids[ids.count - 1], 1);
    for (size_t i = 1; i + 1 < ids.count; i++) assert_true(ids.ids[i] > 2);
    ok(fr_tokenizer_decode(r.t, ids.ids, ids.count, true, &back, &back_bytes));
    assert_string_equal(back, text);
    int32_t count;
    assert_int_equal(fr_chat_ends(c, &count)[0], 1);
    assert_int_equal(count, 1);
    fr_free(back);
    fr_free(text);
    fr_free(ids.ids);
    fr_json_free(j);
    fr_chat_free(c);
    unlink(path);
    fr_store_close(r.store);
    fr_tokenizer_free(r.t);
}

static void test_sources(void **state) {
    (void)state;
    rig r = set_up();
    ok(fr_safetensors_parse(r.file, sizeof r.file, "none", &r.store));
    fr_chat *c;
    ok(fr_chat_new(r.store, r.t, NULL, &c));
    assert_true(fr_chat_is_plain(c));
    fr_json *j = talk("[{\"role\":\"system\",\"content\":\"a\"},{\"role\":\"user\",\"content\":"
                      "\" b \"},{\"role\":\"assistant\",\"content\":\"c\"},{\"role\":\"user\","
                      "\"content\":\"d\"}]");
    static const char *const known[][2] = {
        {"plain", "a\n b \nc\nd"},
        {"chatml", "<|im_start|>system\na<|im_end|>\n<|im_start|>user\n b <|im_end|>\n"
                   "<|im_start|>assistant\nc<|im_end|>\n<|im_start|>user\nd<|im_end|>\n"
                   "<|im_start|>assistant\n"},
        {"llama2", "<s>[INST] <<SYS>>\na\n<</SYS>>\n\nb [/INST] c </s><s>[INST] d [/INST]"},
        {"llama3", "<s><|start_header_id|>system<|end_header_id|>\n\na<|eot_id|>"
                   "<|start_header_id|>user<|end_header_id|>\n\nb<|eot_id|>"
                   "<|start_header_id|>assistant<|end_header_id|>\n\nc<|eot_id|>"
                   "<|start_header_id|>user<|end_header_id|>\n\nd<|eot_id|>"
                   "<|start_header_id|>assistant<|end_header_id|>\n\n"},
        {"mistral", "<s>[INST] a\n\n b  [/INST] c</s>[INST] d [/INST]"},
        {"gemma", "<s><start_of_turn>user\na\n\nb<end_of_turn>\n<start_of_turn>model\nc"
                  "<end_of_turn>\n<start_of_turn>user\nd<end_of_turn>\n<start_of_turn>model\n"},
        {"phi3", "<|system|>\na<|end|>\n<|user|>\n b <|end|>\n<|assistant|>\nc<|end|>\n<|user|>\n"
                 "d<|end|>\n<|assistant|>\n"},
    };
    fr_chat_free(c);
    for (size_t i = 0; i < FR_COUNT(known); i++) {
        char *text;
        size_t bytes;
        ok(fr_chat_new(r.store, r.t, known[i][0], &c));
        ok(fr_chat_text(c, j, NULL, true, &text, &bytes));
        assert_string_equal(text, known[i][1]);
        fr_free(text);
        fr_chat_free(c);
    }
    assert_int_equal(fr_chat_new(r.store, r.t, "nosuch", &c), FR_INVALID);
    assert_non_null(strstr(fr_message(), "nosuch"));
    fr_json_free(j);
    fr_store_close(r.store);
    fr_tokenizer_free(r.t);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_tokens),
                                       cmocka_unit_test(test_sources)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
