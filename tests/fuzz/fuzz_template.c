/* fuzz_template.c: any bytes as a chat template: refused, or it writes a talk, or says why not. */
#include <stdlib.h>

#include "text/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static const char talk[] =
        "{\"messages\":[{\"role\":\"system\",\"content\":\"Be short.\"},{\"role\":\"user\","
        "\"content\":\" \xC3\xA4 <b> \"},{\"role\":\"assistant\",\"content\":[{\"type\":\"text\","
        "\"text\":\"a\"}]}],\"bos_token\":\"<s>\",\"eos_token\":\"</s>\",\"add_generation_prompt\":"
        "true,\"n\":-3,\"f\":1.5,\"none\":null}";
    fr_template *t;
    fr_json *variables;
    fr_message_clear();
    if (fr_template_parse((const char *)data, bytes, "fuzz.jinja", &t)) {
        if (t || !fr_message()[0]) abort();
        return 0;
    }
    if (fr_json_parse(talk, sizeof talk - 1, "talk", &variables)) abort();
    char *text;
    size_t n;
    if (fr_template_apply(t, variables, 1, &text, &n) && (text || !fr_message()[0])) abort();
    fr_free(text);
    fr_json_free(variables);
    fr_template_free(t);
    return 0;
}
