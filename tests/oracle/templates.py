"""What transformers makes of chat templates: tests/golden/text/templates.json.

The templates are written for this test; each uses what published ones use. Run with transformers installed:

    python tests/oracle/templates.py
"""
import json
import os

from transformers.utils.chat_template_utils import _compile_jinja_template as compile_template

HERE = os.path.dirname(os.path.abspath(__file__))

TALK = [
    {"role": "system", "content": "Be short."},
    {"role": "user", "content": "  Was gibt's, \"Ärger\"?  \n"},
    {"role": "assistant", "content": "Nichts.\n"},
    {"role": "user", "content": "日本 😀 <b>&</b>"},
]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Says \"how\" it is\nthere",
            "parameters": {"type": "object", "properties": {"where": {"type": "string"}, "days": {"type": "integer"}},
                           "required": ["where"]},
        },
    }
]
PARTS = [
    {"role": "user", "content": [{"type": "text", "text": "One"}, {"type": "image"}, {"type": "text", "text": "two"}]},
    {"role": "assistant", "content": None,
     "tool_calls": [{"function": {"name": "weather", "arguments": {"where": "Ulm", "days": 2}}}]},
    {"role": "tool", "content": "Rain", "name": "weather"},
]
BASE = {"messages": TALK, "bos_token": "<s>", "eos_token": "</s>", "add_generation_prompt": True}

CHATML = """{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""

BRACKETS = """{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content'] | trim %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set system_message = '' %}
    {%- set loop_messages = messages %}
{%- endif %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('Roles must take turns') }}
    {%- endif %}
    {%- if loop.first and system_message %}
        {%- set content = '<<SYS>>\\n' ~ system_message ~ '\\n<</SYS>>\\n\\n' ~ message['content'] %}
    {%- else %}
        {%- set content = message['content'] %}
    {%- endif %}
    {%- if message['role'] == 'user' %}
        {{- '[INST] ' + content.strip() + ' [/INST]' }}
    {%- elif message['role'] == 'assistant' %}
        {{- ' ' + content | trim + ' ' + eos_token }}
    {%- endif %}
{%- endfor %}
"""

HEADERS = """{{- bos_token }}
{%- if not date_string is defined %}
    {%- set date_string = "26 Jul 2024" %}
{%- endif %}
{%- if not tools is defined %}{%- set tools = none %}{%- endif %}
{#- the system's words come first -#}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start|>system<|end|>\\n\\n" }}
{%- if tools is not none %}
    {{- "Environment: python\\n" }}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
{%- endif %}
{{- "Today: " + date_string + "\\n" + system_message + "<|eot|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start|>' + message['role'] + '<|end|>\\n\\n' + message['content'] | trim + '<|eot|>' }}
    {%- elif 'tool_calls' in message %}
        {%- set call = message.tool_calls[0].function %}
        {{- '{"name": "' + call.name + '", ' }}
        {{- '"parameters": ' }}
        {{- call.arguments | tojson }}
        {{- "}<|eot|>" }}
    {%- else %}
        {{- "<|start|>ipython<|end|>\\n\\n" }}
        {%- if message.content is mapping or message.content is iterable and message.content is not string %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start|>assistant<|end|>\\n\\n' }}
{%- endif %}
"""

THINKING = """{%- set ns = namespace(multi=true, last=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi and message.role == "user" and message.content is string and not(message.content.startswith('<r>') and message.content.endswith('</r>')) %}
        {%- set ns.multi = false %}
        {%- set ns.last = index %}
    {%- endif %}
{%- endfor %}
{%- macro show(content, wrap=false, tag='x') %}
    {%- if content is string %}{{- content }}
    {%- elif content is none %}{{- '' }}
    {%- else %}{%- for item in content if item.type == 'text' %}{{- item.text }}{%- if not loop.last %}, {% endif %}{%- endfor %}{%- endif %}
    {%- if wrap %}{{- '<' ~ tag ~ '>' }}{%- endif %}
{%- endmacro %}
{%- for message in messages %}
    {{- loop.index ~ '/' ~ loop.length ~ (' last' if loop.index0 == ns.last else '') ~ ': ' }}
    {{- show(message.content, wrap=loop.last, tag=message.role) }}
    {%- set content = message.content %}
    {%- if content is string and '</think>' in content %}
        {%- set reasoning = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
        {{- '(' + reasoning + ')' }}
    {%- endif %}
    {{- '\\n' }}
{%- endfor %}
{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}
"""

LINES = """{{ bos_token }}
{% for m in messages %}
  {% if m.role == 'user' %}
<user>{{ m.content }}
  {% elif m.role == 'assistant' %}
<model>{{ m.content }}{{ eos_token }}
  {% else %}
    {# nothing
       to say #}
  {% endif %}
{% else %}
none
{% endfor %}
end
"""

EXPRESSIONS = [
    "{{ 1 + 2 * 3 - 4 // 3 % 5 }} {{ 2 ** 3 ** 2 }} {{ -2 ** 2 }} {{ 7 / 2 }} {{ 7.0 // 2 }} {{ -7 % 3 }} {{ -7 // 2 }}",
    "{{ 1 < 2 < 3 }} {{ 1 < 2 > 3 }} {{ 'a' < 'b' }} {{ 1 == 1.0 }} {{ true == 1 }} {{ none == false }}",
    "{{ not true or true and false }} {{ 'x' or 'y' }} {{ '' or 'y' }} {{ 0 and 1 }}",
    "{{ 'a' in 'cat' }} {{ 'a' not in ['a'] }} {{ 'k' in {'k': 1} }} {{ 3 in (1, 2) }}",
    "{{ [1, 'two', 3.5, none, true, {'a': ['b']}] }} {{ {'x': \"it's\"} }} {{ (1, 2)|list }}",
    "{{ 'abcdef'[1:4] }} {{ 'abcdef'[::-1] }} {{ 'abcdef'[-3:] }} {{ 'abcdef'[:-1:2] }} {{ [1,2,3,4][1::2] }} {{ 'äöü'[1] }} {{ 'abc'[-1] }}",
    "{{ 1.0 }} {{ 0.1 + 0.2 }} {{ 1e20 }} {{ 1e-7 }} {{ 123456789.125 }} {{ 100000.0 * 10 }} {{ 5e-324 }}",
    "{{ '  x y '|trim }}|{{ ' x '.strip() }}|{{ 'xxaxx'.strip('x') }}|{{ 'xxaxx'.lstrip('x') }}|{{ 'xaxx'.rstrip('x') }}",
    "{{ 'Straße ÄB'|upper }} {{ 'ÄB'|lower }} {{ 'hello wORLD'|title }} {{ 'hELLO'|capitalize }}",
    "{{ 'a,b,,c'.split(',') }} {{ ' a  b '.split() }} {{ 'a-b-c'.split('-', 1) }} {{ 'a\nb\n'.splitlines() }}",
    "{{ 'aXbX'.replace('X', '-') }} {{ 'aXbX'.replace('X', '-', 1) }} {{ 'aa'|replace('a', 'b') }} {{ 'abc'.find('c') }} {{ 'aXbX'.count('X') }}",
    "{{ 'abc'.startswith('ab') }} {{ 'abc'.endswith('bc') }} {{ '12'.isdigit() }} {{ ', '.join(['a', 'b']) }}",
    "{{ [3,1,2]|sort }} {{ [3,1,2]|sort(reverse=true) }} {{ ['b','A']|sort }} {{ [1,1,2]|unique|list }} {{ [1,2]|sum }} {{ [1,5,2]|max }} {{ [4,2]|min }}",
    "{{ [1,2,3]|first }} {{ [1,2,3]|last }} {{ 'abc'|list }} {{ 'abc'|length }} {{ {'a':1}|count }} {{ [1,2]|reverse|list }}",
    "{{ missing|default('d') }} {{ ''|default('d') }}|{{ ''|default('d', true) }} {{ missing is defined }} {{ missing }}|{{ bos_token.y is defined }}",
    "{{ messages|map(attribute='role')|join(', ') }} {{ messages|selectattr('role', 'equalto', 'user')|list|length }} {{ messages|rejectattr('role', 'eq', 'user')|map(attribute='content')|list }}",
    "{{ [0,1,'',none,'a']|select|list }} {{ [1,2,3,4]|select('even')|list }} {{ [1,2,3]|reject('odd')|list }} {{ ['a','B']|map('upper')|list }}",
    "{{ {'b': 1, 'a': [1, {'c': none}], 'ä': '\"\\\\'}|tojson }} {{ []|tojson }} {{ {}|tojson(indent=2) }} {{ 1.5|tojson }} {{ 'é\n\t'|tojson }}",
    "{{ {'b': [1, 2], 'a': {}}|tojson(indent=2) }} {{ {'b': 1, 'a': 2}|tojson(sort_keys=true) }}",
    "{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}={{ v }};{% endfor %}{% for k in {'z': 1} %}{{ k }}{% endfor %} {{ {'a': 1}.get('a') }} {{ {'a': 1}.get('q') }} {{ {'a': 1}.get('q', 5) }} {{ {'a': 1}.keys()|list }}",
    "{% for p in {'b': 1, 'a': 2}|dictsort %}{{ p[0] }}{{ p[1] }}{% endfor %} {% for k, v in {'q': 1}|items %}{{ k }}{{ v }}{% endfor %}",
    "{% for i in range(5) %}{% if i == 1 %}{% continue %}{% endif %}{% if i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %} {{ range(2, 9, 3)|list }} {{ range(3, 0, -1)|list }}",
    "{% for i in [1,2,3] %}{{ loop.index }}{{ loop.revindex }}{{ loop.first }}{{ loop.last }}{{ loop.cycle('a', 'b') }}{{ loop.previtem }}{{ loop.nextitem }} {% endfor %}",
    "{% set x = 1 %}{% for i in [1] %}{% set x = 2 %}{{ x }}{% endfor %}{{ x }}{% if true %}{% set x = 3 %}{% endif %}{{ x }}",
    "{% set a, b = 1, 'z' %}{{ a }}{{ b }}{% set c %}block {{ a }}{% endset %}{{ c|upper }}{% set d = (1, 2) %}{{ d[0] }}",
    "{% set n = namespace(x=0) %}{% for i in [1,2,3] %}{% set n.x = n.x + i %}{% endfor %}{{ n.x }}",
    "{% macro f(a, b='q') %}[{{ a }}{{ b }}]{% endmacro %}{{ f(1) }}{{ f(1, 2) }}{{ f(b=3, a=4) }}{{ f('x')|length }}",
    "{{ 'yes' if 1 else 'no' }}{{ 'yes' if 0 else 'no' }}{{ 'only' if false }}{{ ('a' if 0 else 'b') ~ 'c' }}",
    "{{ 'a' 'b' ~ 1 ~ none ~ true }} {{ \"tab\\tq\\\"\" }} {{ '\\u00e4\\x41' }}" if False else "{{ 'a' ~ 1 ~ none ~ true }} {{ \"tab\\tq\\\"\" }} {{ '\\u00e4\\x41' }}",
    "{{ 5 is odd }} {{ 4 is even }} {{ 6 is divisibleby 3 }} {{ 'a' is string }} {{ 1 is number }} {{ {} is mapping }} {{ [] is iterable }} {{ 'x' is sequence }} {{ none is none }} {{ 1 is integer }} {{ 1.5 is float }} {{ true is boolean }} {{ 3 is gt 2 }} {{ 'a' is in ['a'] }} {{ 1 is not defined }} {{ 'ab' is lower }}",
    "{{ '5'|int + 1 }} {{ 'x'|int }} {{ '2.5'|float }} {{ -3|abs }} {{ 3.7|int }} {{ 7|string ~ 'x' }}",
    "{{ 'a\nb'|indent(2) }} {{ '<&>'|e }} {{ '<b>'|safe }}",
    "a  {%- if true -%}  b  {%- endif %}  c {{- ' d ' -}} e",
    "  {% if true %}\n  x\n  {% endif %}\ny\n  {%+ if true %}z{% endif +%}\n",
    "x {# a #} y {#- b -#} z\n{# line #}\nend\n\n",
    "{{ messages[-1].content }} {{ messages[0]['role'] }} {{ messages[0].role.upper() }} {{ messages[7] is defined }}",
    "{% generation %}inside{% endgeneration %} after",
    "{{ 'a' * 3 }} {{ [1] + [2] }} {{ '%' }} {{ '}}' }} {{ '{%' }}",
    "{% if messages and not (messages|length == 0) and messages[0].role == 'system' %}S{% elif true %}E{% else %}N{% endif %}",
    "{{ strftime_now('%%') }}",
]

FAIL = [
    "{{ raise_exception('Only ' + 'this') }}",
    "{{ missing.attr }}",
    "{{ 'a' + 1 }}",
    "{{ [] < 1 }}",
    "{{ nosuch() }}",
    "{{ 'a'|nosuch }}",
    "{% if %}{% endif %}",
    "{% for x in [1] %}",
    "{{ 1 / 0 }}",
    "{{ 'a }}",
    "{% nosuch %}",
    "{{ 5 | length }}",
    "{% set ns = {} %}{% set ns.x = 1 %}",
]


def main():
    cases = []

    def add(template, variables):
        try:
            cases.append({"template": template, "variables": variables,
                          "text": compile_template(template).render(**variables)})
        except Exception as e:  # noqa: BLE001
            raise SystemExit(f"{template!r}: {e}")

    no_system = dict(BASE, messages=TALK[1:])
    for t in (CHATML, BRACKETS, HEADERS, THINKING, LINES):
        add(t, BASE)
        add(t, dict(no_system, add_generation_prompt=False))
    add(HEADERS, dict(BASE, tools=TOOLS))
    add(HEADERS, dict(BASE, messages=TALK[:1] + PARTS[1:], date_string="1 May 2025"))
    add(THINKING, dict(BASE, messages=PARTS, enable_thinking=False))
    add(THINKING, dict(BASE, messages=[{"role": "user", "content": "q"},
                                       {"role": "assistant", "content": "<think>\nhm\n</think>\n\na"}]))
    add(LINES, dict(BASE, messages=[]))
    for t in EXPRESSIONS:
        add(t, BASE)
    for t in FAIL:
        try:
            compile_template(t).render(**BASE)
        except Exception:  # noqa: BLE001
            cases.append({"template": t, "variables": BASE, "text": None})
            continue
        raise SystemExit(f"{t!r} does not fail")
    path = os.path.join(HERE, "..", "golden", "text", "templates.json")
    with open(path, "w", encoding="utf-8") as f:
        json.dump(cases, f, ensure_ascii=False, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main()
