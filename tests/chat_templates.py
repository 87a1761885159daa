"""Chat templates in the manner of the models' own, and conversations for them."""

from __future__ import annotations

from spectra.strict_json import JSONObject

# Turns between marks, a system turn merged from the first message, thinking opened for the model.
THINKING = """\
{%- if messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- set ns = namespace(last=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- if message.role == 'user' and not message.content.startswith('<tool_response>') %}
        {%- set ns.last = messages|length - 1 - loop.index0 %}
        {%- break %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.role == 'assistant' %}
        {%- set content = message.content.split('</think>')[-1].lstrip('\\n') %}
        {{- '<|im_start|>assistant\\n' }}
        {%- generation %}
        {{- content + '<|im_end|>\\n' }}
        {%- endgeneration %}
    {%- elif not (loop.first and message.role == 'system') %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n<think>\\n' }}
{%- endif %}
"""

# Block tags on lines of their own, the clock, tojson, special tokens, and a refusal.
PLAIN = """\
{{ bos_token }}{% if messages[0]['role'] != 'system' %}
<|im_start|>system
You are a helpful assistant. Today is {{ strftime_now('%d %b %Y') }}.<|im_end|>
{% endif %}
{% for message in messages %}
    {% if message['role'] not in ['system', 'user', 'assistant'] %}
        {{ raise_exception('Unknown role: ' + message['role']) }}
    {% endif %}
<|im_start|>{{ message['role'] }}
{{ message['content'] }}{% if message['functions'] %}
<functions>{{ message['functions'] | tojson }}</functions>{% endif %}
<|im_end|>
{% endfor %}
{% if add_generation_prompt %}
<|im_start|>assistant
{% endif %}
"""

QUESTION: tuple[JSONObject, ...] = ({"role": "user", "content": "What is 2 + 2?"},)
TURNS: tuple[JSONObject, ...] = (
    {"role": "system", "content": "Be brief & <kind>."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "<think>\nGreet.\n</think>\n\nHello!"},
    {"role": "user", "content": "Größe?\n", "functions": [{"name": "größe", "a": "<b>'&"}]},
)
