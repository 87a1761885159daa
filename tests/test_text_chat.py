"""Prompts from messages: what transformers makes of them, the doubled tag, and refusals."""

from __future__ import annotations

import pytest

from extract.text import TextTokenizer
from extract.text._chat import drop_doubled_think
from extract.text.errors import (
    ChatTemplateError,
    FinishedMessagesError,
    MissingChatTemplateError,
)
from spectra.strict_json import JSONObject
from tests.chat_templates import PLAIN, QUESTION, THINKING, TURNS
from tests.text_cases import train_tiny


def render(template: str | None, messages: tuple[JSONObject, ...] = QUESTION) -> str:
    tok = TextTokenizer(
        train_tiny(nfc=False), chat_template=template, special_tokens={"bos_token": "<s>"}
    )
    return tok.render_prompt(messages, where="trace 'a': messages")


# What apply_chat_template(…, add_generation_prompt=True) of transformers 5.23.0 returns for the
# same templates, messages and bos_token, with its clock set to 2024-07-26.
EXPECTED = [
    (
        THINKING,
        QUESTION,
        "<|im_start|>user\nWhat is 2 + 2?<|im_end|>\n<|im_start|>assistant\n<think>\n",
    ),
    (
        THINKING,
        TURNS,
        "<|im_start|>system\nBe brief & <kind>.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\nHello!<|im_end|>\n<|im_start|>user\nGröße?\n<|im_end|>\n"
        "<|im_start|>assistant\n<think>\n",
    ),
    (
        PLAIN,
        QUESTION,
        "<s><|im_start|>system\nYou are a helpful assistant. Today is 26 Jul 2024.<|im_end|>\n"
        "<|im_start|>user\nWhat is 2 + 2?<|im_end|>\n<|im_start|>assistant\n",
    ),
    (
        PLAIN,
        TURNS,
        "<s><|im_start|>system\nBe brief & <kind>.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\n<think>\nGreet.\n</think>\n\nHello!<|im_end|>\n"
        "<|im_start|>user\nGröße?\n"
        '<functions>[{"name": "größe", "a": "<b>\'&"}]</functions><|im_end|>\n'
        "<|im_start|>assistant\n",
    ),
]


@pytest.mark.parametrize(("template", "messages", "expected"), EXPECTED)
def test_renders_as_transformers_does(
    template: str, messages: tuple[JSONObject, ...], expected: str
) -> None:
    assert render(template, messages) == expected


def test_options_of_tojson() -> None:
    template = "{{ messages[0] | tojson(indent=1, sort_keys=true) }}"
    assert render(template) == '{\n "content": "What is 2 + 2?",\n "role": "user"\n}'
    assert render("{{ 'ß' | tojson(ensure_ascii=true) }}") == '"\\u00df"'


def test_generation_blocks_keep_their_scope() -> None:
    template = "{% set a = 1 %}{% generation %}{% set a = 2 %}[{{ a }}]{% endgeneration %}{{ a }}"
    assert render(template) == "[2]1"


def test_absent_special_tokens_tools_and_documents_are_nothing() -> None:
    assert render("{{ eos_token }}{{ tools is none }}{{ documents is none }}") == "TrueTrue"


@pytest.mark.parametrize(
    ("prompt", "response", "expected"),
    [
        ("a\n<think>\n", "<think>\nSo", "a\n"),
        ("a\n<think>", "<think>So", "a\n"),
        ("<think>\n", "<think>", ""),
        ("a\n<think>\n", "So", "a\n<think>\n"),
        ("a\n<think>\n", "So <think>", "a\n<think>\n"),
        ("a\n", "<think>\nSo", "a\n"),
        ("a<think>\n\n", "<think>\nSo", "a<think>\n\n"),
        ("a<think>\n\n</think>\n\n", "<think>\nSo", "a<think>\n\n</think>\n\n"),
        ("a<think>\n<think>\n", "<think>\nSo", "a<think>\n"),
    ],
)
def test_doubled_think(prompt: str, response: str, expected: str) -> None:
    assert drop_doubled_think(prompt, response) == expected


def test_no_template() -> None:
    with pytest.raises(
        MissingChatTemplateError, match=r"^trace 'a': messages: .* no chat template"
    ):
        render(None)


def test_finished_messages() -> None:
    with pytest.raises(FinishedMessagesError, match=r"^trace 'a': messages: .* assistant's turn"):
        render(THINKING, TURNS[:3])


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("{% if %}", r"cannot be compiled: Expected an expression.* \(line 1\)"),
        ("a\n\n{% for m in messages %}", r"cannot be compiled: .* \(line 3\)"),
        ("{{ 'a' | no_such_filter }}", r"cannot be compiled: No filter named"),
        ("{{ raise_exception('Roles must alternate') }}", "fails on the messages: Roles must alt"),
        ("{{ messages[0].content.thing.other }}", "fails on the messages: .* has no attribute"),
        ("{{ messages[7].role }}", "fails on the messages: .* has no element 7"),
        ("{{ 1 // 0 }}", "fails on the messages: .*zero"),
        ("{{ messages[0] + 1 }}", "fails on the messages: unsupported operand"),
        ("{{ messages.append(1) }}", "fails on the messages: .*unsafe"),
        ("{{ ''.__class__.__mro__ }}", "fails on the messages: .*unsafe"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "fails on the messages: .*recursion"),
        ("{{ range(10 ** 9) | list }}", "fails on the messages: .*[Rr]ange"),
    ],
)
def test_template_errors(template: str, told: str) -> None:
    with pytest.raises(ChatTemplateError, match=told) as caught:
        render(template)
    assert caught.value.__suppress_context__
    assert str(caught.value).startswith(("trace 'a': messages: the model's", "The model's chat"))


def test_template_cannot_change_the_messages() -> None:
    messages: tuple[JSONObject, ...] = ({"role": "user", "content": "a"},)
    with pytest.raises(ChatTemplateError):
        render("{{ messages[0].update({'content': 'b'}) }}", messages)
    assert messages[0]["content"] == "a"
