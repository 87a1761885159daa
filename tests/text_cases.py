"""Tokenizers and random text for the tests of `extract.text`, and its rules followed slowly.

The tiny tokenizers are made here; the real ones lie in ../shared/data. The reference goes
character by character and byte by byte, with Python's own Unicode tables, and shares no code with
what it checks.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache

from hypothesis import strategies as st
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)
from tokenizers.pre_tokenizers import ByteLevel

from extract.text import TextTokenizer
from tests.shared_data import shared

TINY = ("tiny", "tiny-nfc")
REAL = ("qwen3", "dolma2", "smollm2")

_SPLIT = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_CORPUS = [
    "Wait, let me check this step. So the answer is 12.\n\nThen 3 + 4 = 7.\n\nHmm, but wait.",
    "The café is naïve; über allés. 한국어 텍스트 and 中文字符, 日本語の文。",
    "Emoji 😀😀 👩‍👩‍👧 and so on.\r\n\r\nNext: x = {a}; y = [b]. <tag> done.\n\n\n  Indented.",
]


# ---- tokenizers -------------------------------------------------------------------------------


def train_tiny(*, nfc: bool) -> Tokenizer:
    """A byte-level BPE of 400 tokens that splits text as the models' own do."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), behavior="isolated"),
            ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    if nfc:
        made.normalizer = normalizers.NFC()
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        initial_alphabet=ByteLevel.alphabet(),
        special_tokens=[AddedToken(token, normalized=False) for token in ("<|end|>", "<|im_end|>")],
        show_progress=False,
    )
    made.train_from_iterator(_CORPUS * 4, trainer)
    made.add_tokens([AddedToken(token, normalized=False) for token in ("<think>", "</think>")])
    return made


@cache
def tiny(*, nfc: bool) -> TextTokenizer:
    return TextTokenizer(train_tiny(nfc=nfc))


def raw_marked(kind: str) -> Tokenizer:
    """A vocabulary in the manner of SentencePiece: ▁ for a space, and a token for every byte."""
    vocabulary = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    vocabulary += ["▁", "a", "b", "é", ".", "▁a", "ab", "▁ab"]
    made = Tokenizer(
        models.BPE(
            vocab={token: place for place, token in enumerate(vocabulary)},
            merges=[("a", "b"), ("▁", "a"), ("▁", "ab")],
            byte_fallback=True,
            unk_token="<unk>",
            fuse_unk=True,
        )
    )
    if kind == "prepend":
        made.normalizer = normalizers.Sequence(
            [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        )
    else:
        made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=kind)
    made.add_special_tokens([AddedToken(token, normalized=False) for token in ("<s>", "</s>")])
    return made


@cache
def real(name: str) -> TextTokenizer:
    return TextTokenizer(shared(f"tokenizers/{name}/tokenizer.json"))


def tokenizer(name: str) -> TextTokenizer:
    """One of `TINY` or `REAL`; skips where the real ones are absent."""
    return tiny(nfc=name == "tiny-nfc") if name in TINY else real(name)


# ---- random text ------------------------------------------------------------------------------

_FRAGMENTS = [
    "Wait, ", " the answer", "So.", ".\n\n", "\n", "\r\n", "\r", "\n \n", "  ", "\t", " ", "12",
    "😀", "👩‍👩‍👧", "👍🏽", "🇩🇪", "中文", "日本語。", "\u3000", "\u00a0", "\u2028", "\ufeff",
    "é", "e\u0301", "a\u0307\u0323", "a\u0323\u0307", "q\u0307\u0323", "\u0301", "\u1e9b\u0323",
    "\u2126", "\u212b", "\u0344", "\u0958", "\u0f73", "\u09c7\u09be", "\ufb01",
    "\u1100\u1161\u11a8", "\u1112\u1161", "\uac00\u11a8", "\u1161", "한국",
    "<think>", "</think>", "<|end|>", "<|endoftext|>", "<|im_end|>", "<thi", "nk>", "<", ">",
    "\u0338", "</think>\u0338", "\x00", "\x1b", "\x7f", "\x1c", "\u200b", "\ufffd",
]  # fmt: skip
# Without what Python's tables and the tokenizer's may know differently: unassigned characters.
_ANY = st.text(st.characters(exclude_categories=["Cs", "Cn"]), max_size=4)

TEXTS = st.lists(st.sampled_from(_FRAGMENTS) | _ANY, max_size=25).map("".join)


@st.composite
def annotated(draw: st.DrawFn) -> tuple[str, list[tuple[int, int]]]:
    """A text and spans of it, sorted and disjoint; some adjacent, empty ones also inside others."""
    text = draw(TEXTS)
    places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=12)))
    doubled = [place for place in places for _ in range(draw(st.integers(1, 2)))]
    empty = [(place, place) for place in draw(st.lists(st.integers(0, len(text)), max_size=2))]
    return text, sorted([*zip(doubled[::2], doubled[1::2], strict=False), *empty])


# ---- the rules, slowly ------------------------------------------------------------------------


@cache
def _byte_of_character() -> dict[str, int]:
    """The byte table, as the tokenizers package itself applies it to every two-byte character."""
    table: dict[str, int] = {}
    spell = ByteLevel(add_prefix_space=False, use_regex=False)
    for code in (*range(0x801), *range(0x1000, 0x110000, 0x1000)):
        if not 0xD800 <= code < 0xE000:
            [(spelled, _)] = spell.pre_tokenize_str(chr(code))
            table.update(zip(spelled, chr(code).encode(), strict=True))
    return table


def token_bytes(wrapped: Tokenizer, token_id: int) -> bytes:
    added = wrapped.get_added_tokens_decoder()
    if token_id in added:
        return added[token_id].content.encode()
    token = wrapped.id_to_token(token_id)
    assert token is not None
    return bytes(_byte_of_character()[char] for char in token)


def slow_bytes(text: str, wrapped: Tokenizer) -> list[tuple[int, int, int]]:
    """The bytes that tokens of `text` must spell, each with the characters it stands for."""
    found: list[tuple[int, int, int]] = []
    position = 0
    for stretch, is_added in _stretches(text, wrapped):
        nfc = wrapped.normalizer is not None and not is_added
        for start, end in _units(stretch, nfc=nfc):
            unit = stretch[start:end]
            spelled = unicodedata.normalize("NFC", unit) if nfc else unit
            found += [(byte, position + start, position + end) for byte in spelled.encode()]
        position += len(stretch)
    return found


def _stretches(text: str, wrapped: Tokenizer) -> Iterator[tuple[str, bool]]:
    contents = [token.content for token in wrapped.get_added_tokens_decoder().values()]
    longest_first = sorted(contents, key=len, reverse=True)
    parts = re.split("(" + "|".join(map(re.escape, longest_first)) + ")", text)
    for place, part in enumerate(parts):
        yield part, place % 2 == 1


def _units(text: str, *, nfc: bool) -> Iterator[tuple[int, int]]:
    def normal(part: str) -> str:
        return unicodedata.normalize("NFC", part) if nfc else part

    start, whole = 0, normal(text)
    for cut in range(1, len(text) + 1):
        if normal(text[:cut]) + normal(text[cut:]) == whole:
            yield start, cut
            start = cut


def slow_cover(text: str, ids: Sequence[int], wrapped: Tokenizer) -> list[tuple[int, int]]:
    """The characters that each token of a fresh encoding covers."""
    expected = slow_bytes(text, wrapped)
    covered = []
    position = 0
    for token_id in ids:
        data = token_bytes(wrapped, token_id)
        held = expected[position : position + len(data)]
        assert bytes(byte for byte, _, _ in held) == data
        covered.append((held[0][1], held[-1][2]))
        position += len(data)
    assert position == len(expected)
    return covered


def slow_owners(
    text: str, covered: Sequence[tuple[int, int]], spans: Sequence[tuple[int, int]]
) -> list[int | None]:
    """The step of each token, by the rule's own words."""
    owners: list[int | None] = []
    for start, end in covered:
        solid = [place for place in range(start, end) if not text[place].isspace()]
        if solid:
            owners.append(step_of(solid[0], spans))
        elif start < end and owners:
            owners.append(owners[-1])
        else:
            owners.append(None)
    for step in range(len(spans)):  # what stands between two tokens of a step is in it
        held = [place for place, owner in enumerate(owners) if owner == step]
        for place in range(held[0], held[-1]) if held else ():
            assert owners[place] in {step, None}
            owners[place] = step
    return owners


def step_of(place: int, spans: Sequence[tuple[int, int]]) -> int | None:
    return next((k for k, (start, end) in enumerate(spans) if start <= place < end), None)


def holder(place: int, covered: Sequence[tuple[int, int]]) -> int:
    """The token that a character begins in."""
    return next(token for token, (start, end) in enumerate(covered) if start <= place < end)


@cache
def _missing_bytes(tok: TextTokenizer) -> frozenset[int]:
    vocabulary = tok._tokenizer.get_vocab()
    return frozenset(byte for char, byte in _byte_of_character().items() if char not in vocabulary)


def spellable(tok: TextTokenizer, text: str) -> str:
    """The text without the characters that have a byte for which there is no token."""
    missing = _missing_bytes(tok)
    return "".join(char for char in text if not missing & set(char.encode()))
