"""The tokenizer of a checkpoint: the same ids as the model's own tokenizer.json gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from extract.weights import errors as weight_errors
from extract.weights import open_checkpoint
from extract.weights.gguf._header import read_gguf_header
from extract.weights.gguf._tokenizer import build_tokenizer
from spectra import errors
from tests.shared_data import shared
from tests.weight_files import TEMPLATE, TOKENS, Hook, write_gguf, write_model

TEXTS = (
    "",
    " ",
    "\n\n\n  x\n",
    "\t tab\r\n\r\nend  ",
    "Let me think. First, 12345 + 67 = 12412; wait, no!\n\nSo 3.14159e-10, 1/3 and ½.",
    "I've been told he'S there, 'RE you? WE'LL see; don't",
    "<think>\nOkay,\n</think>\n\n**Answer:** \\boxed{42}<|im_end|>\n<|im_start|>user",
    "déjà vu, cafe\u0301, Å vs A\u030a, ﬁ, ｆｕｌｌ, İstanbul",
    "日本語のテキスト、한국어, Привет мир, שלום, कोड, កាន់តែ",
    "🦙🦙 👩‍👩‍👧‍👦 🏳️‍🌈 ✅ 😶‍🌫️",
    "def f(x):\n    return x**2  # ²³¹ \u2028 \u00a0nbsp\u200bzero",
    "a" * 300 + "=" * 80 + " " * 33 + "-",
    "[PAD151669] <tool_call>{}</tool_call> <|endoftext|><repo_name>",
)


# ---- GGUF's tokenizer against tokenizer.json --------------------------------------------------


def as_gguf(tokenizer: dict[str, Any], pre: str, path: Path) -> Path:
    """What llama.cpp's converter writes of a tokenizer.json, and two rows that no text maps to."""
    added = {token["id"]: token for token in tokenizer["added_tokens"]}
    vocabulary = {number: token for token, number in tokenizer["model"]["vocab"].items()}
    vocabulary |= {number: token["content"] for number, token in added.items()}
    count = max(vocabulary) + 3
    tokens = [vocabulary.get(n, f"[PAD{n}]") for n in range(count)]
    kinds = [
        5 if n not in vocabulary else 1 if n not in added else 3 if added[n]["special"] else 4
        for n in range(count)
    ]
    merges = [m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


REAL = [("smollm2", "smollm"), ("qwen3", "qwen2"), ("dolma2", "dbrx")]


@pytest.fixture(scope="module", params=REAL, ids=[name for name, _ in REAL])
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Tokenizer, Tokenizer]:
    """A real tokenizer.json, and what is rebuilt from it by way of GGUF."""
    name, pre = request.param
    source = shared(f"tokenizers/{name}/tokenizer.json")
    document = json.loads(source.read_text(encoding="utf-8"))
    path = as_gguf(document, pre, tmp_path_factory.mktemp("gguf") / "m.gguf")
    return Tokenizer.from_file(str(source)), build_tokenizer(read_gguf_header(path))


def ids(tokenizer: Tokenizer, text: str) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False).ids)


@pytest.mark.parametrize("text", TEXTS)
def test_real_tokenizers_survive_gguf(pair: tuple[Tokenizer, Tokenizer], text: str) -> None:
    expected, found = pair
    assert ids(found, text) == ids(expected, text)
    kept = found.decode(ids(found, text), skip_special_tokens=False)
    assert kept == expected.decode(ids(expected, text), skip_special_tokens=False)


@given(text=st.text(max_size=60))
def test_on_any_text(pair: tuple[Tokenizer, Tokenizer], text: str) -> None:
    expected, found = pair
    assert ids(found, text) == ids(expected, text)


# ---- small vocabularies -----------------------------------------------------------------------


def test_a_tiny_one_by_hand(tmp_path: Path) -> None:
    built = build_tokenizer(read_gguf_header(write_gguf(tmp_path / "m.gguf")))
    number = {token: n for n, token in enumerate(TOKENS)}
    found = ids(built, "hi hi1h<|end|><tool>")
    assert [TOKENS[n] for n in found] == ["hi", "Ġhi", "1", "h", "<|end|>", "<tool>"]
    assert built.decode(found) == "hi hi1h<tool>"  # the special one is left out
    assert number["[PAD8]"] not in built.get_vocab().values()


def test_llama_bpe_takes_whole_words_that_have_no_merges(tmp_path: Path) -> None:
    def hook(writer: gguf.GGUFWriter) -> None:
        tokens = ("h", "i", "Ġ", "hih", "hi")
        writer.kv_data[0]["tokenizer.ggml.tokens"].value = tokens
        writer.kv_data[0]["tokenizer.ggml.token_type"].value = [1] * 5
        writer.kv_data[0]["tokenizer.ggml.merges"].value = ["h i"]

    for pre, expected in (("llama-bpe", [3]), ("dbrx", [4, 0])):
        path = write_gguf(tmp_path / f"{pre}.gguf", pre=pre, hook=hook)
        assert ids(build_tokenizer(read_gguf_header(path)), "hih") == expected


def test_gpt_2_cuts_as_gpt_2_does(tmp_path: Path) -> None:
    built = build_tokenizer(read_gguf_header(write_gguf(tmp_path / "m.gguf", pre="gpt-2")))
    expected = pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str("I'm 123  x")
    assert built.pre_tokenizer.pre_tokenize_str("I'm 123  x") == expected


def change(key: str, value: object) -> Hook:
    def hook(writer: gguf.GGUFWriter) -> None:
        writer.kv_data[0][f"tokenizer.ggml.{key}"].value = value

    return hook


def retyped(writer: gguf.GGUFWriter) -> None:
    writer.kv_data[0].pop("tokenizer.ggml.merges")
    writer.add_array("tokenizer.ggml.merges", [1, 2])


REFUSED: list[tuple[Hook, type[errors.InputError], str]] = [
    (change("model", "llama"), weight_errors.GgufTokenizerError, "model is 'llama'; expected 'gp"),
    (
        change("pre", "tekken"),
        weight_errors.GgufTokenizerError,
        "pre is 'tekken'; .* smollm, qwen2",
    ),
    (change("token_type", [1]), weight_errors.GgufTokenizerError, "has 1 entries; expected 9"),
    (
        change("tokens", ["x"] * len(TOKENS)),
        weight_errors.GgufTokenizerError,
        "has tokens twice",
    ),
    (change("merges", ["hi"]), weight_errors.GgufTokenizerError, "'hi'; expected two tokens"),
    (change("merges", ["h i i"]), weight_errors.GgufTokenizerError, "'h i i'; expected two tokens"),
    (change("merges", ["h z"]), weight_errors.GgufTokenizerError, "merges do not fit its tokens"),
    (change("merges", ["i h"]), weight_errors.GgufTokenizerError, "merges do not fit its tokens"),
    (lambda w: w.kv_data[0].pop("tokenizer.ggml.pre"), errors.MissingFieldError, "ggml.pre"),
    (lambda w: w.kv_data[0].pop("tokenizer.ggml.merges"), errors.MissingFieldError, "merges"),
    (retyped, errors.FieldTypeError, "merges is no array of strings"),
]


@pytest.mark.parametrize(("hook", "error", "text"), REFUSED)
def test_refuses(
    tmp_path: Path,
    hook: Hook,
    error: type[errors.InputError],
    text: str,
) -> None:
    path = write_gguf(tmp_path / "m.gguf", hook=hook)
    checkpoint = open_checkpoint(str(path))  # the weights can be had without it
    with pytest.raises(error, match=text) as caught:
        checkpoint.tokenizer()
    assert str(path) in str(caught.value)


def test_a_template_that_is_no_text(tmp_path: Path) -> None:
    def hook(writer: gguf.GGUFWriter) -> None:
        writer.kv_data[0].pop("tokenizer.chat_template")
        writer.add_uint32("tokenizer.chat_template", 3)

    with pytest.raises(errors.FieldTypeError, match="chat_template is 3; expected a string"):
        open_checkpoint(str(write_gguf(tmp_path / "m.gguf", hook=hook)))


# ---- what the checkpoint hands on -------------------------------------------------------------


def test_a_gguf_checkpoint_hands_on_its_texts(tmp_path: Path) -> None:
    tokenizer = open_checkpoint(str(write_gguf(tmp_path / "m.gguf"))).tokenizer()
    assert tokenizer.chat_template == TEMPLATE
    assert tokenizer.special_tokens == {"eos_token": "<|end|>"}
    assert tokenizer.encode("hi hi").ids.tolist() == [TOKENS.index("hi"), TOKENS.index("Ġhi")]


def test_a_directory_hands_on_its_texts(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m")
    built = Tokenizer(models.BPE({t: n for n, t in enumerate("ab")}, []))
    built.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    built.save(str(path / "tokenizer.json"))
    checkpoint = open_checkpoint(str(path))
    tokenizer = checkpoint.tokenizer()
    assert tokenizer.sha256 == checkpoint.provenance["tokenizer_sha256"]
    assert (tokenizer.chat_template, tokenizer.special_tokens) == (TEMPLATE, {"bos_token": "<s>"})
    assert tokenizer.encode("abba").ids.tolist() == [0, 1, 1, 0]
