"""Tokens against characters: a slow reference, stored ids, other schemes, and what is refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

from extract.text import EncodedText, TextTokenizer
from extract.text import errors as text_errors
from extract.traces.errors import TraceTextError
from spectra.errors import InputError, MissingFileError
from tests.text_cases import (
    REAL,
    TEXTS,
    TINY,
    raw_marked,
    slow_bytes,
    slow_cover,
    spellable,
    tiny,
    tokenizer,
    train_tiny,
)


@pytest.fixture(scope="module", params=[*TINY, *REAL])
def tok(request: pytest.FixtureRequest) -> TextTokenizer:
    return tokenizer(request.param)


def raw(tok: TextTokenizer) -> Tokenizer:
    return tok._tokenizer


def ranges(encoded: EncodedText) -> list[tuple[int, int]]:
    return list(zip(encoded.starts.tolist(), encoded.ends.tolist(), strict=True))


def spelled_out(tok: TextTokenizer, encoded: EncodedText) -> list[tuple[str, tuple[int, int]]]:
    tokens = [raw(tok).id_to_token(i) or "" for i in encoded.ids.tolist()]
    return list(zip(tokens, ranges(encoded), strict=True))


# ---- fresh encodings --------------------------------------------------------------------------


@given(text=TEXTS)
def test_cover_equals_the_slow_one(tok: TextTokenizer, text: str) -> None:
    text = spellable(tok, text)
    encoded = tok.encode(text)
    assert encoded.ids.tolist() == raw(tok).encode(text, add_special_tokens=False).ids
    assert ranges(encoded) == slow_cover(text, encoded.ids.tolist(), raw(tok))


@given(text=TEXTS)
def test_every_character_is_covered_in_order(tok: TextTokenizer, text: str) -> None:
    text = spellable(tok, text)
    encoded = tok.encode(text)
    assert encoded.ids.dtype == np.int32
    assert np.all(np.diff(encoded.starts) >= 0)
    assert np.all(np.diff(encoded.ends) >= 0)
    assert np.all(encoded.ends > encoded.starts)
    covered = {place for start, end in ranges(encoded) for place in range(start, end)}
    assert covered == set(range(len(text)))


@given(text=TEXTS)
def test_decoding_returns_the_text(tok: TextTokenizer, text: str) -> None:
    text = spellable(tok, text)
    data = tok.decode_bytes(tok.encode(text).ids.tolist())
    assert data == bytes(byte for byte, _, _ in slow_bytes(text, raw(tok)))
    if raw(tok).normalizer is None:
        assert data.decode() == text


def test_emoji_is_in_the_range_of_each_of_its_tokens() -> None:
    encoded = tiny(nfc=False).encode("a𝄞b")
    assert ranges(encoded) == [(0, 1), (1, 2), (1, 2), (1, 2), (1, 2), (2, 3)]


def test_composed_and_reordered_characters_are_one_unit() -> None:
    tok = tiny(nfc=True)
    assert [tok.decode_bytes([i]) for i in tok.encode("e\u0301").ids.tolist()] == ["é".encode()]
    assert ranges(tok.encode("xe\u0301y")) == [(0, 1), (1, 3), (3, 4)]
    # The dot below moves before the dot above, and q stays apart from both.
    assert set(ranges(tok.encode("q\u0307\u0323x"))) == {(0, 1), (1, 3), (3, 4)}
    # Three jamo make one syllable of three bytes.
    assert set(ranges(tok.encode("\u1112\u1161\u11ab"))) == {(0, 3)}


def test_added_tokens_part_what_normalisation_would_join() -> None:
    tok = tiny(nfc=True)  # U+0338 would make ≯ of the tag's last character
    encoded = tok.encode("</think>\u0338 e\u0301")
    assert encoded.ids[0] == raw(tok).token_to_id("</think>")
    assert ranges(encoded)[:3] == [(0, 8), (8, 9), (8, 9)]
    assert encoded.ends[-1] == 12


def test_no_special_token_is_added_and_those_in_the_text_are_found(tok: TextTokenizer) -> None:
    assert len(tok.encode("").ids) == 0
    special = next(t for t in raw(tok).get_added_tokens_decoder().values() if t.special)
    assert ranges(tok.encode(f"{special.content}x")) == [
        (0, len(special.content)),
        (len(special.content), len(special.content) + 1),
    ]


def test_long_run_of_marks_is_not_slow() -> None:
    text = "e" + "\u0301\u0323" * 400 + "x"
    assert ranges(tiny(nfc=True).encode(text))[-1] == (801, 802)


# ---- stored ids -------------------------------------------------------------------------------


@given(text=TEXTS, data=st.data())
def test_stored_ids_of_an_encoding_cover_the_same(
    tok: TextTokenizer, text: str, data: st.DataObject
) -> None:
    text = spellable(tok, text)
    encoded = tok.encode(text)
    special = [i for i, t in raw(tok).get_added_tokens_decoder().items() if t.special]
    tail = data.draw(st.lists(st.sampled_from(special), max_size=3))
    stored = tok.cover([*encoded.ids.tolist(), *tail], text)
    assert ranges(stored) == ranges(encoded) + [(len(text), len(text))] * len(tail)


@given(data=st.data(), skip_special=st.booleans())
def test_any_ids_cover_what_they_decode_to(
    tok: TextTokenizer, data: st.DataObject, skip_special: bool
) -> None:
    added = raw(tok).get_added_tokens_decoder()
    any_id = st.integers(0, raw(tok).get_vocab_size() - 1) | st.sampled_from(list(added))
    ids = data.draw(st.lists(any_id, max_size=12))
    hidden = {i for i, token in added.items() if token.special and skip_special}
    text = tok.decode_bytes([i for i in ids if i not in hidden]).decode(errors="replace")
    stored = tok.cover(ids, text)
    assert stored.ids.tolist() == ids
    assert np.all(np.diff(stored.starts) >= 0)
    assert np.all(np.diff(stored.ends) >= 0)
    covered = {place for start, end in ranges(stored) for place in range(start, end)}
    assert covered == set(range(len(text)))
    for token_id, (start, end) in zip(ids, ranges(stored), strict=True):
        spelled = tok.decode_bytes([token_id])
        if token_id not in hidden and spelled.isascii():
            assert text[start:end].encode() == spelled


def test_response_cut_inside_a_character() -> None:
    tok = tiny(nfc=True)
    ids = tok.encode("ab𝄞").ids.tolist()
    assert ranges(tok.cover(ids[:-1], "ab\ufffd"))[-3:] == [(2, 3)] * 3
    # Two beginnings of a character are two replacements.
    twice = [*ids[:-2], *ids[-4:-2]]
    assert ranges(tok.cover(twice, "ab\ufffd\ufffd"))[-4:] == [(2, 3), (2, 3), (3, 4), (3, 4)]


def test_replacement_characters_are_not_accepted_for_bytes_that_were_lost() -> None:
    made = train_tiny(nfc=False)
    settings = json.loads(made.to_str())
    lost = settings["model"]["vocab"].pop("½")  # the last byte, 0xBD, of U+FFFD
    settings["model"]["vocab"]["a new token"] = lost
    settings["model"]["merges"] = []
    tok = TextTokenizer(Tokenizer.from_str(json.dumps(settings)))
    with pytest.raises(
        text_errors.TokenTextMismatchError, match=r"from character 2 .* spell '\\\\xef\\\\xbf' and"
    ):
        tok.encode("ab\ufffd")


def test_ids_of_text_not_yet_normalised() -> None:
    """A model may write a base and a mark apart: its ids spell the text as it is."""
    plain, tok = tiny(nfc=False), tiny(nfc=True)
    ids = plain.encode("xe\u0301y").ids.tolist()
    assert ranges(tok.cover(ids, "xe\u0301y")) == [(0, 1), (1, 2), (2, 3), (2, 3), (3, 4)]


def test_special_tokens_shown_hidden_at_the_end_and_hidden_throughout() -> None:
    tok = tiny(nfc=False)
    end, other = (raw(tok).token_to_id(name) or 0 for name in ("<|end|>", "<|im_end|>"))
    [a] = tok.encode("a").ids.tolist()
    ids = [a, end, a, other, end]
    assert ranges(tok.cover(ids, "a<|end|>a<|im_end|><|end|>"))[-1] == (19, 26)
    assert ranges(tok.cover(ids, "a<|end|>a<|im_end|>"))[-2:] == [(9, 19), (19, 19)]
    assert ranges(tok.cover(ids, "a<|end|>a")) == [(0, 1), (1, 8), (8, 9), (9, 9), (9, 9)]
    assert ranges(tok.cover(ids, "aa")) == [(0, 1), (1, 1), (1, 2), (2, 2), (2, 2)]
    assert ranges(tok.cover([end], "")) == [(0, 0)]


def test_hidden_token_inside_a_character_counts_as_part_of_it() -> None:
    tok = tiny(nfc=False)
    first, *rest = tok.encode("𝄞").ids.tolist()
    end = raw(tok).token_to_id("<|end|>") or 0
    assert ranges(tok.cover([first, end, *rest], "𝄞")) == [(0, 1)] * 5


def test_tag_spelled_by_ordinary_tokens_before_the_added_one() -> None:
    tok = tiny(nfc=True)
    letters = [i for char in "<think>" for i in tok.encode(char).ids.tolist()]
    tag = raw(tok).token_to_id("<think>") or 0
    # The mark makes the text differ from its normal form, so that it is matched by stretches.
    ids = [*letters, *tok.encode("é").ids.tolist(), tag]
    covered = ranges(tok.cover(ids, "<think>e\u0301<think>"))
    assert covered == [*((i, i + 1) for i in range(7)), (7, 9), (9, 16)]


@pytest.mark.parametrize("bad", [-1, 400_000, 2**40])
def test_refuses_ids_outside_the_vocabulary(tok: TextTokenizer, bad: int) -> None:
    for use in (tok.check_ids, tok.decode_bytes):
        with pytest.raises(text_errors.TokenIdError, match=rf"^here: the id {bad} is not in the"):
            use([0, bad], where="here")
    assert tok.check_ids([0, 1]).dtype == np.int32


def test_mismatch_names_the_first_difference() -> None:
    tok = tiny(nfc=True)
    ids = tok.encode("The café is closed").ids.tolist()
    with pytest.raises(text_errors.TokenTextMismatchError) as caught:
        tok.cover(ids, "The cafe\u0301 was open", where="trace 'a': response_token_ids")
    assert str(caught.value).startswith(
        "trace 'a': response_token_ids do not spell the text: from character 10 (of 18, counted "
        "from 0) the tokens spell 'is closed' and the text has 'was open'."
    )
    with pytest.raises(text_errors.TokenTextMismatchError, match="the text has nothing more"):
        tok.cover(ids, "The café is")
    with pytest.raises(text_errors.TokenTextMismatchError, match="tokens spell nothing more and"):
        tok.cover(ids, "The café is closed today")
    with pytest.raises(text_errors.TokenTextMismatchError):
        tok.cover([raw(tok).token_to_id("<think>") or 0], "think")


@given(text=TEXTS, other=TEXTS)
def test_ids_of_another_text_are_refused(text: str, other: str) -> None:
    tok = tiny(nfc=False)
    assume(not other.startswith(text) and not text.startswith(other) and "<|" not in text + other)
    with pytest.raises(text_errors.TokenTextMismatchError):
        tok.cover(tok.encode(text).ids.tolist(), other)


# ---- vocabularies in the manner of SentencePiece ----------------------------------------------


def test_space_marks_and_prefixes() -> None:
    tok = TextTokenizer(raw_marked("prepend"))
    assert spelled_out(tok, tok.encode("ab a<s> b")) == [
        ("▁ab", (0, 2)),
        ("▁a", (2, 4)),
        ("<s>", (4, 7)),
        ("▁", (7, 7)),  # the prefix stands for nothing
        ("▁", (7, 8)),
        ("b", (8, 9)),
    ]
    tok = TextTokenizer(raw_marked("first"))
    assert spelled_out(tok, tok.encode("ab a<s>b")) == [
        ("▁ab", (0, 2)),
        ("▁a", (2, 4)),
        ("<s>", (4, 7)),
        ("b", (7, 8)),
    ]


@given(text=TEXTS, kind=st.sampled_from(["prepend", "first", "always", "never"]))
def test_marked_spaces_cover_every_character(text: str, kind: str) -> None:
    tok = TextTokenizer(raw_marked(kind))
    encoded = tok.encode(text)
    covered = {place for start, end in ranges(encoded) for place in range(start, end)}
    assert covered == set(range(len(text)))
    stored = tok.cover(encoded.ids.tolist(), text)
    assert ranges(stored) == ranges(encoded)


def test_literal_mark_in_the_text() -> None:
    tok = TextTokenizer(raw_marked("never"))
    assert ranges(tok.encode("a▁ b")) == [(0, 1), (1, 2), (2, 3), (3, 4)]


def test_byte_level_with_a_prefix_space() -> None:
    made = train_tiny(nfc=False)
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tok = TextTokenizer(made)
    assert ranges(tok.encode("xyz"))[0][0] == 0
    assert tok.decode_bytes(tok.encode("xyz").ids.tolist()) == b" xyz"
    assert tok.encode("xyz").ends[-1] == 3


# ---- what is refused --------------------------------------------------------------------------


def changed(change: str) -> Tokenizer:
    made = train_tiny(nfc=False)
    if change == "lowercase":
        made.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    elif change == "nfkc":
        made.normalizer = normalizers.NFKC()
    elif change == "whitespace":
        made.pre_tokenizer = pre_tokenizers.Whitespace()
    elif change == "wordlevel":
        made.model = models.WordLevel({"a": 0}, unk_token="a")
    elif change == "dropout":
        made.model = models.BPE({"a": 0}, [], dropout=0.5)
    elif change == "suffix":
        made.model = models.BPE({"a": 0}, [], end_of_word_suffix="</w>")
    else:
        made.pre_tokenizer = pre_tokenizers.Metaspace(replacement="_")
    return made


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("lowercase", "its normalizer Lowercase changes text"),
        ("nfkc", "its normalizer NFKC changes text"),
        ("whitespace", "its pre-tokenizer is Whitespace"),
        ("wordlevel", "its model is WordLevel"),
        ("dropout", "its model sets dropout"),
        ("suffix", "its model sets end_of_word_suffix"),
        ("other mark", "it writes a space as '_'"),
    ],
)
def test_refuses_what_cannot_be_followed(change: str, text: str) -> None:
    with pytest.raises(text_errors.UnsupportedTokenizerError, match=f"^The tokenizer: {text}"):
        TextTokenizer(changed(change))


def test_added_token_that_swallows_blanks_is_noticed() -> None:
    made = train_tiny(nfc=False)
    made.add_tokens([AddedToken("<mask>", lstrip=True, normalized=False)])
    tok = TextTokenizer(made)
    tok.encode("a<mask>b")
    with pytest.raises(text_errors.TokenTextMismatchError, match="does not spell the text exactly"):
        tok.encode("a <mask>b")


def test_bytes_without_a_token_are_noticed() -> None:
    made = Tokenizer(models.BPE({"a": 0, "b": 1}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok = TextTokenizer(made)
    assert ranges(tok.encode("ab")) == [(0, 1), (1, 2)]
    with pytest.raises(
        text_errors.TokenTextMismatchError, match=r"here: .* from character 1 .* 'b' and .* 'cb'"
    ):
        tok.encode("acb", where="here")


def test_refuses_half_a_surrogate_pair() -> None:
    tok = tiny(nfc=False)
    with pytest.raises(TraceTextError, match=r"^here: the text has half .* at character 1"):
        tok.encode("a\ud800", where="here")
    with pytest.raises(TraceTextError):
        tok.cover([0], "\ud800")


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    with pytest.raises(MissingFileError):
        TextTokenizer(path)
    path.write_text('{"version": ')
    with pytest.raises(text_errors.UnreadableTokenizerError, match=f"^{path} is not a tokenizer"):
        TextTokenizer(path)
    train_tiny(nfc=True).save(str(path))
    tok = TextTokenizer(path)
    assert tok.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert tok.encode("Wait, é").ids.tolist() == tiny(nfc=True).encode("Wait, é").ids.tolist()
    built = train_tiny(nfc=True)
    assert TextTokenizer(built).sha256 == hashlib.sha256(built.to_str().encode()).hexdigest()


def test_truncation_and_padding_of_the_file_are_off() -> None:
    made = train_tiny(nfc=False)
    made.enable_truncation(2)
    made.enable_padding(length=64)
    assert TextTokenizer(made).encode("one two three four").ends[-1] == 18


def test_post_processor_adds_nothing() -> None:
    made = train_tiny(nfc=False)
    end = ("<|end|>", made.token_to_id("<|end|>") or 0)
    made.post_processor = processors.TemplateProcessing(
        single="<|end|> $A <|end|>", special_tokens=[end]
    )
    assert len(made.encode("x").ids) == 3
    assert len(TextTokenizer(made).encode("x").ids) == 1


def test_every_error_is_an_input_error() -> None:
    classes = [v for v in vars(text_errors).values() if isinstance(v, type)]
    assert len(classes) == 8
    assert all(issubclass(c, InputError) and c.exit_code == 3 for c in classes)
