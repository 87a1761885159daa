"""Traces made from templates: their answers worked out anew, their arithmetic read back."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from fractions import Fraction
from functools import cache
from itertools import product

import pytest

from extract.traces import Trace, TraceStep
from extract.traces._files import as_json
from extract.traces.check import check_traces
from extract.traces.samples import FAMILIES, sample_traces
from extract.traces.samples._draw import Draw
from spectra import strict_json
from spectra.categories import load_map

CATEGORIES = set(load_map("thought_anchors").labels)

DIGEST = "35294dca28bae1a5df978ee4deeea8323f6141d10a3f96c48d7106021c4e7796"
"""The sha256 of the 24 default traces' lines. Whoever changes a wording changes it."""


@cache
def many() -> list[Trace]:
    return [trace for seed in range(4) for trace in sample_traces(96, seed=seed)]


def family(trace: Trace) -> str:
    return (trace.problem_id or "").partition("-")[0]


def question(trace: Trace) -> str:
    (message,) = trace.messages or ()
    assert message["role"] == "user"
    assert isinstance(message["content"], str)
    return message["content"]


def text(trace: Trace, step: TraceStep) -> str:
    return trace.response[step.char_start : step.char_end]


def is_slip(step: TraceStep) -> bool:
    return step.extra.get("slip") is True


# ---- answers, from the question alone -----------------------------------------------------------


def numbers(asked: str) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", asked)]


def multiplication(asked: str) -> str:
    a, b = numbers(asked)
    return str(a * b)


def rates(asked: str) -> str:
    amount, minutes, fewer, job = numbers(asked)
    first = Fraction(amount, minutes)
    return f"{job / (first + first - fewer)} minutes"


def equation(asked: str) -> str:
    match = re.search(r"(\d+)\((\w) \+ (\d+)\) = (\d+)(\w) \+ (\d+)", asked)
    assert match is not None
    a, b, c, d = (int(match[i]) for i in (1, 3, 4, 6))
    assert match[2] == match[5]
    return f"{match[2]} = {Fraction(d - a * b, a - c)}"


def clock(asked: str) -> str:
    monday = datetime(2024, 1, 1)
    days = [f"{monday + timedelta(days=i):%A}" for i in range(7)]
    (day,) = (i for i, name in enumerate(days) if name in asked)
    hour, minute, hours = numbers(asked.replace("24-hour", ""))
    assert minute == 0
    return f"{monday + timedelta(days=day, hours=hour + hours):%A, %H:00}"


def primes(asked: str) -> str:
    (number,) = numbers(asked)
    found = set()
    for candidate in range(2, number + 1):
        while number % candidate == 0:
            found.add(candidate)
            number //= candidate
    return str(sum(found))


CLAIMS: dict[str, Callable[[bool, bool], bool]] = {
    "is a knight": lambda own, other: other,
    "is a knave": lambda own, other: not other,
    "and I are of the same kind": lambda own, other: own == other,
    "and I are of different kinds": lambda own, other: own != other,
}


def spoken(asked: str) -> list[tuple[str, str, str]]:
    """Who says what of whom."""
    return re.findall(r'The (\w+) says: "The (\w+) ([^"]+)\."', asked)


def knights(asked: str) -> str:
    said = spoken(asked)
    names = [name for name, _, _ in said]
    solutions = []
    for kinds in product([True, False], repeat=3):
        honest = dict(zip(names, kinds, strict=True))
        if all(CLAIMS[claim](honest[a], honest[b]) == honest[a] for a, b, claim in said):
            solutions.append(honest)
    (solution,) = solutions
    parts = [f"the {name} is a {'knight' if solution[name] else 'knave'}" for name in names]
    return f"{parts[0]}, {parts[1]} and {parts[2]}"


SOLVERS: dict[str, Callable[[str], str]] = {
    "multiplication": multiplication,
    "rates": rates,
    "equation": equation,
    "clock": clock,
    "primes": primes,
    "knights": knights,
}


@pytest.mark.parametrize("name", SOLVERS)
def test_answers_follow_from_the_questions(name: str) -> None:
    found = [trace for trace in many() if family(trace) == name]
    assert len(found) > 40
    for trace in found:
        answer = SOLVERS[name](question(trace))
        assert trace.metadata["answer"] == answer
        last = trace.steps[-1]
        assert (last.category, last.segment) == ("final_answer_emission", "solution")
        given = text(trace, last).replace("*", "").partition(":")[2].strip()
        assert given == answer
        thought = [s for s in trace.steps if s.segment == "thought"]
        emitted = [s for s in thought if s.category == "final_answer_emission"]
        assert [text(trace, s).partition(": ")[2] for s in emitted] == [f"{answer}."]


# ---- reasoning without arithmetic ---------------------------------------------------------------

KIND = re.compile(r"the (\w+) (?:is |must be |would be )?a (knight|knave)")


def follow(asked: str, kinds: list[tuple[str, str]], *, consistent: bool) -> None:
    """Check a chain of kinds: an assumption, and what each statement makes of the next islander."""
    said = spoken(asked)
    assert [name for name, _ in kinds] == [*(name for name, _, _ in said), said[0][0]]
    honest = [kind == "knight" for _, kind in kinds]
    for (_, _, claim), own, other in zip(said, honest[:-1], honest[1:], strict=True):
        assert CLAIMS[claim](own, other) == own
    assert (honest[0] == honest[-1]) == consistent


def test_knights_are_reasoned_about_rightly() -> None:
    for trace in (trace for trace in many() if family(trace) == "knights"):
        chains: list[tuple[list[tuple[str, str]], bool]] = []
        for step in trace.steps:
            kinds = KIND.findall(text(trace, step))
            if step.segment == "solution" and step.category == "active_computation":
                chains.append((kinds, text(trace, step).endswith(": as assumed.")))
            elif step.category == "plan_generation" and kinds:
                chains.append((kinds, False))
            elif step.category == "active_computation" and not is_slip(step):
                chains[-1][0].append(kinds[-1])
            elif re.search("so this case is consistent|so nothing contradicts", text(trace, step)):
                chains[-1] = chains[-1][0], True
        assert len(chains) == 4
        for chain, consistent in chains:
            follow(question(trace), chain, consistent=consistent)


def test_weekdays_are_counted_rightly() -> None:
    days = [f"{datetime(2024, 1, 1) + timedelta(days=i):%A}" for i in range(7)]
    for trace in (trace for trace in many() if family(trace) == "clock"):
        (start,) = (i for i, name in enumerate(days) if name in question(trace))
        thought = [text(trace, step) for step in trace.steps if step.segment == "thought"]
        walks = re.compile(
            "Counting on from|After .* runs through|So the weekday is|That is a whole"
        )
        (words,) = (words for words in thought if walks.match(words))
        walk = re.findall("|".join(days), words)
        assert walk == [days[(start + i) % 7] for i in range(len(walk))]
        assert str(trace.metadata["answer"]).startswith(walk[-1])


# ---- every equality in the text -----------------------------------------------------------------

TERM = r"\d+(?: (?:[×+/-]|mod) \d+)*"
EQUALITY = re.compile(rf"(?<![\w(.])(?<![×+/-] ){TERM}(?: = {TERM})+(?![\w(])")


def value(term: str) -> Fraction:
    code = re.sub(r"\d+", r"Fraction(\g<0>)", term).replace("×", "*").replace("mod", "%")
    result: Fraction = eval(code)
    return result


def wrong(words: str) -> list[str]:
    return [
        match[0]
        for match in EQUALITY.finditer(words)
        if len({value(term) for term in match[0].split(" = ")}) != 1
    ]


def test_the_reader_of_equalities_reads_them() -> None:
    words = "So 3 × 4 + 1 = 13, 7 / 2 = 3, 12 = 2 × 2 × 3. 9 mod 4 = 2; 2 + 2 = 4 = 5 - 1"
    found = [match[0] for match in EQUALITY.finditer(words)]
    assert found == [
        "3 × 4 + 1 = 13",
        "7 / 2 = 3",
        "12 = 2 × 2 × 3",
        "9 mod 4 = 2",
        "2 + 2 = 4 = 5 - 1",
    ]
    assert wrong(words) == ["7 / 2 = 3", "9 mod 4 = 2"]
    assert not EQUALITY.search("7(k + 6) = 5k + 46, 2k + 42 = 46, k = 2, 2k = 4")


def test_every_equality_is_right_but_in_a_slip() -> None:
    read = Counter[str]()
    for trace in many():
        for step in trace.steps:
            words = text(trace, step)
            read[family(trace)] += len(EQUALITY.findall(words))
            if not is_slip(step):
                assert not wrong(words), words
            elif EQUALITY.search(words):
                # Some slips compute the wrong thing rightly.
                misled = "differs by", "the difference of", "all the factors"
                assert wrong(words) or any(phrase in words for phrase in misled), words
    count = Counter(family(trace) for trace in many())
    for name in set(SOLVERS) - {"knights"}:
        assert read[name] > 8 * count[name]


def test_slips_are_noticed_and_mended() -> None:
    slips = Counter[str]()
    for trace in many():
        for number, step in enumerate(trace.steps):
            if not is_slip(step):
                continue
            slips[family(trace)] += 1
            assert (step.category, step.segment) == ("active_computation", "thought")
            noticed, mended = trace.steps[number + 1 : number + 3]
            assert noticed.category == "uncertainty_management"
            assert mended.category == "active_computation"
            assert not is_slip(mended)
            assert not wrong(text(trace, mended))
    assert set(slips) == set(SOLVERS)
    assert slips.total() > len(many()) / 2


# ---- form ---------------------------------------------------------------------------------------


def test_steps_cover_their_sentences_exactly() -> None:
    check = check_traces(many())
    assert [name for name, finding in check.findings.items() if finding.count] == []
    for trace in many():
        for step in trace.steps:
            words = text(trace, step)
            assert words == words.strip()
            assert "\n" not in words
            assert words[-1] in '.?*"0123456789:' or words.startswith("-") or "nswer" in words
        rest = trace.response
        for step in reversed(trace.steps):
            rest = rest[: step.char_start] + rest[step.char_end :]
        assert "".join(rest.split()) == "<think></think>"


def test_lengths_and_categories() -> None:
    for trace in many():
        assert 20 <= len(trace.steps) <= 45
        assert 150 <= len(trace.response.split()) <= 700
        assert {step.category for step in trace.steps} == CATEGORIES
        assert {step.segment for step in trace.steps} == {"thought", "solution"}


def test_every_category_is_frequent_in_a_small_sample() -> None:
    words = Counter[str | None]()
    for trace in sample_traces(4):
        for step in trace.steps:
            words[step.category] += len(text(trace, step).split())
    assert set(words) == CATEGORIES
    assert sum(count >= 100 for count in words.values()) >= 5
    assert min(words.values()) >= 50


def test_two_ways_through_one_problem() -> None:
    traces = sample_traces(24)
    for number, trace in enumerate(traces):
        same = [i for i, other in enumerate(traces) if other.problem_id == trace.problem_id]
        group = number // 4 * 4
        assert same == ([group, group + 3] if number % 4 in (0, 3) else [number])
    first, second = traces[0], traces[3]
    assert question(first) == question(second)
    assert first.response != second.response
    assert {family(trace) for trace in traces} == set(SOLVERS)


def test_wordings_vary() -> None:
    for name in SOLVERS:
        found = [trace for trace in many() if family(trace) == name]
        # Without its numbers, the first half of a thought still differs from nearly all others.
        heads = {re.sub(r"\d+", "#", trace.response[:900]) for trace in found}
        assert len(heads) > len(found) / 2
    assert len({trace.response for trace in many()}) == len(many())


# ---- the same everywhere ------------------------------------------------------------------------


def digest(traces: list[Trace]) -> str:
    lines = "".join(strict_json.dumps(as_json(trace), indent=None) for trace in traces)
    return hashlib.sha256(lines.encode()).hexdigest()


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert digest(sample_traces(24)) == DIGEST
    assert sample_traces() == sample_traces(24, seed=0)


def test_more_traces_begin_with_the_fewer() -> None:
    assert sample_traces(30, seed=5)[:7] == sample_traces(7, seed=5)


def test_other_seeds_give_other_problems() -> None:
    problems = [{trace.problem_id for trace in sample_traces(12, seed=seed)} for seed in (0, 1, -1)]
    assert not problems[0] & problems[1]
    assert not problems[0] & problems[2]
    ids = [trace.trace_id for seed in (0, 1) for trace in sample_traces(12, seed=seed)]
    assert len(set(ids)) == len(ids)


def test_the_generator_is_splitmix64() -> None:
    """The first outputs of the published generator from the state 0."""
    draw = Draw()
    assert [draw._next() for _ in range(3)] == [
        0xE220A8397B1DCDAF,
        0x6E789E6AA1B965F4,
        0x06C45D188009454F,
    ]


def test_draws_are_in_range_and_even() -> None:
    draw = Draw(3, 1)
    counts = Counter(draw.between(2, 6) for _ in range(5000))
    assert set(counts) == {2, 3, 4, 5, 6}
    assert all(abs(count - 1000) < 150 for count in counts.values())
    assert sorted(draw.shuffled("abcd")) == list("abcd")
    assert 400 < sum(draw.often(1, 10) for _ in range(5000)) < 600


def test_families_draw_many_problems() -> None:
    for draw_problem in FAMILIES:
        keys = {draw_problem(Draw(number)).key for number in range(100)}
        assert len(keys) > 60
