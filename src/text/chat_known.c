/* chat_known.c: templates of model families, for files that bring none. */
#include <string.h>

#include "text/chat.h"

static const char chatml[] =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

static const char llama2[] =
    "{% set ns = namespace(system='') %}{% for m in messages %}"
    "{% if m.role == 'system' %}{% set ns.system = m.content|trim %}"
    "{% elif m.role == 'user' %}{{ bos_token }}[INST] "
    "{% if ns.system %}<<SYS>>\n{{ ns.system }}\n<</SYS>>\n\n{% set ns.system = '' %}{% endif %}"
    "{{ m.content|trim }} [/INST]"
    "{% else %} {{ m.content|trim }} {{ eos_token }}{% endif %}{% endfor %}";

static const char llama3[] =
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
    "{{ m.content|trim }}<|eot_id|>{% endfor %}{% if add_generation_prompt %}"
    "<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}";

static const char mistral[] =
    "{{ bos_token }}{% set ns = namespace(system='') %}{% for m in messages %}"
    "{% if m.role == 'system' %}{% set ns.system = m.content %}"
    "{% elif m.role == 'user' %}[INST] {% if ns.system %}{{ ns.system }}\n\n"
    "{% set ns.system = '' %}{% endif %}{{ m.content }} [/INST]"
    "{% else %} {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}";

static const char gemma[] =
    "{{ bos_token }}{% set ns = namespace(system='') %}{% for m in messages %}"
    "{% if m.role == 'system' %}{% set ns.system = m.content|trim %}"
    "{% else %}<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
    "{% if ns.system %}{{ ns.system }}\n\n{% set ns.system = '' %}{% endif %}"
    "{{ m.content|trim }}<end_of_turn>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}";

static const char phi3[] =
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}";

static const char plain[] = "{% for m in messages %}{{ m.content }}{% if not loop.last %}{{ '\\n' "
                            "}}{% endif %}{% endfor %}";

const char *fr_chat_known(const char *name) {
    static const struct {
        const char *name, *text;
    } all[] = {{"chatml", chatml}, {"llama2", llama2}, {"llama3", llama3}, {"mistral", mistral},
               {"gemma", gemma},   {"phi3", phi3},     {"plain", plain}};
    for (size_t i = 0; i < FR_COUNT(all); i++)
        if (!strcmp(name, all[i].name)) return all[i].text;
    return NULL;
}
