/* test_folder.c: shards, Hugging Face and diffusers folders, and what may be missing in them. */
#include "testing.h"

static void put_tensor_file(const char *path, const char *tensor) {
    char header[128];
    snprintf(header, sizeof header,
             "{\"%s\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", tensor);
    bytes b = safetensors_of(header, 8);
    put_file(path, b.data, b.n);
    drop(&b);
}

static void put_string(const char *path, const char *text) {
    put_file(path, text, strlen(text));
}

/* A folder of the test's own; its name ends with a slash. */
static const char *folder(const char *name) {
    static char path[300];
    snprintf(path, sizeof path, "%s/", in_test_dir(name));
    assert_good(fr_make_dirs(path));
    return path;
}

static const char *in(const char *dir, const char *name) {
    static char path[4][600];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s%s", dir, name);
    return path[turn];
}

static fr_store *open_good(const char *path) {
    fr_store *s;
    assert_good(fr_store_open(path, &s));
    return s;
}

static void open_bad(const char *path, fr_status st, const char *message) {
    fr_store *s;
    assert_fails(fr_store_open(path, &s), st, message);
    assert_non_null(strstr(fr_message(), path));
    assert_null(s);
}

static void shards_are_one_store(void **state) {
    (void)state;
    static const char *const ways[] = {"shards", "shards/model.safetensors.index.json"};
    for (int i = 0; i < 2; i++) {
        fr_store *s = open_good(golden(ways[i]));
        assert_int_equal(fr_store_count(s), 3);
        assert_int_equal(fr_store_find(s, "b")->dtype, FR_F16);
        assert_true(((const float *)fr_store_find(s, "a")->data)[3] == 3);
        assert_non_null(strstr(fr_store_file(s, 0), "model-00001-of-00002.safetensors"));
        int64_t hidden = 0;
        assert_good(fr_json_i64(fr_store_config(s, "config.json"), "hidden_size", 0, &hidden));
        assert_int_equal(hidden, 4);
        fr_store_close(s);
    }
}

static void bad_shards_are_named(void **state) {
    (void)state;
    const char *d = folder("bad shards");
    const char *index = in(d, "model.safetensors.index.json");
    put_tensor_file(in(d, "one.safetensors"), "a");
    put_tensor_file(in(d, "two.safetensors"), "b");
    put_tensor_file(in(d, "again.safetensors"), "a");
    static const char *const bad[][2] = {
        {"{\"weight_map\":{\"a\":\"one.safetensors\",\"c\":\"gone.safetensors\"}}",
         "gone.safetensors is missing"},
        {"{\"weight_map\":{\"a\":\"one.safetensors\",\"c\":\"two.safetensors\"}}",
         "'c' should be in two.safetensors, but is in no shard"},
        {"{\"weight_map\":{\"a\":\"two.safetensors\",\"b\":\"one.safetensors\"}}",
         "'a' should be in two.safetensors, but is in "},
        {"{\"weight_map\":{\"a\":\"one.safetensors\",\"b\":\"again.safetensors\"}}",
         "'a' is also in "},
        {"{\"weight_map\":{\"a\":\"../one.safetensors\"}}", "not the name of a file beside it"},
        {"{\"weight_map\":{\"a\":\"/etc/passwd\"}}", "not the name of a file beside it"},
        {"{\"weight_map\":{\"a\":\"..\"}}", "not the name of a file beside it"},
        {"{\"weight_map\":{\"a\":\"\"}}", "not the name of a file beside it"},
        {"{\"weight_map\":{\"a\":7}}", "gives tensor 'a' no file name"},
        {"{\"weight_map\":[]}", "weight_map"},
        {"[]", "weight_map"},
        {"{", "JSON"},
    };
    char path[600];
    snprintf(path, sizeof path, "%s", index);
    for (size_t i = 0; i < FR_COUNT(bad); i++) {
        put_string(path, bad[i][0]);
        fr_store *s;
        fr_message_clear();
        assert_int_not_equal(fr_store_open(path, &s), FR_OK);
        if (!strstr(fr_message(), bad[i][1])) fail_msg("%s: %s", bad[i][0], fr_message());
        assert_int_not_equal(fr_store_open(d, &s), FR_OK);
    }
    put_string(path, "{\"weight_map\":{\"a\":\"one.safetensors\",\"b\":\"two.safetensors\"}}");
    fr_store_close(open_good(path));
}

static void the_usual_names_come_first(void **state) {
    (void)state;
    const char *d = folder("usual");
    put_tensor_file(in(d, "lora.safetensors"), "only");
    fr_store *s = open_good(d);
    assert_non_null(fr_store_find(s, "only"));
    assert_string_equal(fr_store_format(s), "folder");
    fr_store_close(s);
    put_tensor_file(in(d, "other.safetensors"), "other");
    open_bad(d, FR_FORMAT, "has 2 files that end in .safetensors");
    put_tensor_file(in(d, "model.safetensors"), "main");
    s = open_good(d);
    assert_int_equal(fr_store_count(s), 1);
    assert_non_null(fr_store_find(s, "main"));
    fr_store_close(s);
}

static void a_folder_may_hold_gguf(void **state) {
    (void)state;
    const char *d = folder("gguf");
    bytes b = gguf_head(3, 1, 1);
    put_text(&b, "general.name");
    put_u32(&b, 8);
    put_text(&b, "x");
    put_gguf_tensor(&b, "w", 1, (const uint64_t[]){1}, 0, 0);
    pad_to(&b, 32);
    put_u32(&b, 0x3f800000);
    put_file(in(d, "x-q8.gguf"), b.data, b.n);
    fr_store *s = open_good(d);
    assert_true(*(const float *)fr_store_find(s, "w")->data == 1);
    assert_string_equal(json_string_value(fr_json_get(fr_store_metadata(s), "general.name")), "x");
    fr_store_close(s);
    /* By content, whatever the name. */
    put_file(in(d, "noname"), b.data, b.n);
    s = open_good(in(d, "noname"));
    assert_string_equal(fr_store_format(s), "gguf");
    fr_store_close(s);
    drop(&b);
}

static void make_pipeline(const char *d) {
    static const char *const sub[] = {"vae/", "transformer/", "scheduler/", "unused/"};
    for (size_t i = 0; i < FR_COUNT(sub); i++) assert_good(fr_make_dirs(in(d, sub[i])));
    put_string(in(d, "model_index.json"),
               "{\"_class_name\":\"SanaPipeline\",\"vae\":[\"diffusers\",\"AutoencoderDC\"],"
               "\"transformer\":[\"diffusers\",\"T\"],\"scheduler\":[\"diffusers\",\"S\"],"
               "\"tokenizer\":[null,null]}");
    put_tensor_file(in(d, "vae/diffusion_pytorch_model.safetensors"), "decoder.w");
    put_string(in(d, "vae/config.json"), "{\"latent_channels\":32}");
    put_tensor_file(in(d, "transformer/part.safetensors"), "proj");
    put_string(in(d, "transformer/diffusion_pytorch_model.safetensors.index.json"),
               "{\"weight_map\":{\"proj\":\"part.safetensors\"}}");
    put_string(in(d, "scheduler/scheduler_config.json"), "{}");
    put_tensor_file(in(d, "unused/model.safetensors"), "unused");
}

static void diffusers_components_get_a_prefix(void **state) {
    (void)state;
    const char *d = folder("pipeline");
    make_pipeline(d);
    fr_store *s = open_good(d);
    assert_int_equal(fr_store_count(s), 2);
    assert_non_null(fr_store_find(s, "vae/decoder.w"));
    assert_non_null(fr_store_find(s, "transformer/proj"));
    int64_t channels = 0;
    assert_good(
        fr_json_i64(fr_store_config(s, "vae/config.json"), "latent_channels", 0, &channels));
    assert_int_equal(channels, 32);
    assert_non_null(fr_store_config(s, "model_index.json"));
    assert_non_null(fr_store_config(s, "scheduler/scheduler_config.json"));
    fr_store_close(s);
    put_string(in(d, "model_index.json"), "{\"../vae\":[\"diffusers\",\"X\"]}");
    open_bad(d, FR_FORMAT, "'../vae' is not the name of a folder");
    put_string(in(d, "model_index.json"), "{\"scheduler\":[\"diffusers\",\"X\"]}");
    open_bad(d, FR_FORMAT, "no component");
    put_string(in(d, "model_index.json"), "7");
    open_bad(d, FR_FORMAT, "model_index.json");
}

static void configs_stay_inside_the_folder(void **state) {
    (void)state;
    const char *d = folder("configs");
    put_tensor_file(in(d, "model.safetensors"), "w");
    put_string(in(d, "broken.json"), "{\"a\":");
    put_string(in(d, "..json"), "{}");
    put_string(in_test_dir("outside.json"), "{}");
    fr_store *s = open_good(in(d, "model.safetensors"));
    static const char *const none[] = {
        "config.json", "../outside.json", "x/../../outside.json", "..", "", "/etc/hostname"};
    for (size_t i = 0; i < FR_COUNT(none); i++) {
        assert_null(fr_store_config(s, none[i]));
        assert_string_equal(fr_message(), "");
    }
    assert_non_null(fr_store_config(s, "..json"));
    for (int i = 0; i < 2; i++) {
        assert_null(fr_store_config(s, "broken.json"));
        assert_non_null(strstr(fr_message(), "broken.json"));
    }
    assert_ptr_equal(fr_store_config(s, "..json"), fr_store_config(s, "..json"));
    fr_store_close(s);
}

static void what_is_no_model_is_refused(void **state) {
    (void)state;
    const char *d = folder("nothing");
    open_bad(d, FR_FORMAT, "holds no model: looked for model_index.json");
    put_string(in(d, "empty.safetensors"), "");
    open_bad(d, FR_FORMAT, "is empty");
    open_bad(in(d, "empty.safetensors"), FR_FORMAT, "is empty");
    put_string(in(d, "text"), "just some text, nothing more");
    open_bad(in(d, "text"), FR_FORMAT, "neither a safetensors nor a GGUF file");
    put_string(in(d, "text.gguf"), "just some text, nothing more");
    open_bad(in(d, "text.gguf"), FR_FORMAT, "letters GGUF");
    open_bad(in(d, "gone.safetensors"), FR_IO, "gone.safetensors");
    open_bad(in(d, "gone.safetensors.index.json"), FR_IO, "gone.safetensors.index.json");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shards_are_one_store),
        cmocka_unit_test(bad_shards_are_named),
        cmocka_unit_test(the_usual_names_come_first),
        cmocka_unit_test(a_folder_may_hold_gguf),
        cmocka_unit_test(diffusers_components_get_a_prefix),
        cmocka_unit_test(configs_stay_inside_the_folder),
        cmocka_unit_test(what_is_no_model_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, remove_test_dir);
}
