"""Prime factors: trial division by small primes, and a test that what is left is prime."""

from __future__ import annotations

from dataclasses import dataclass

from extract.traces.samples import _phrases as phrases
from extract.traces.samples._draw import Draw
from extract.traces.samples._problem import Problem
from extract.traces.samples._script import CHECK, COMPUTE, FACT, PLAN, SETUP, SUM_UP, Script

_SMALL = (2, 3, 5, 7, 11)
_LARGE = (17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97)
_PRIMES = (*_SMALL, 13)
_RULES = {
    2: "A number is divisible by 2 exactly when its last digit is even.",
    3: "A number is divisible by 3 exactly when the sum of its digits is.",
    5: "Multiples of 5 end in 0 or 5.",
    7: "For 7 there is no rule that I like, so I simply try the division.",
    11: "For 11 the alternating sum of the digits has to be a multiple of 11.",
}


def draw(chance: Draw) -> Problem:
    """Three small prime factors or two, and one of 17 to 97."""
    small = sorted(chance.pick(_SMALL) for _ in range(chance.between(2, 3)))
    number = _Number((*small, chance.pick(_LARGE)))
    question = chance.pick(
        (
            f"Find the prime factorization of {number.value}, and give the sum of its distinct "
            "prime factors.",
            f"What is the sum of the distinct primes that divide {number.value}?",
            f"Factor {number.value} into primes. What do you get when you add up the different "
            "primes?",
        )
    )
    return Problem(f"primes-{number.value}", question, str(number.total), number.solve)


@dataclass(frozen=True, slots=True)
class _Number:
    factors: tuple[int, ...]

    @property
    def value(self) -> int:
        return _product(self.factors)

    @property
    def distinct(self) -> list[int]:
        return sorted(set(self.factors))

    @property
    def total(self) -> int:
        return sum(self.distinct)

    def solve(self, script: Script) -> None:
        self._set_up(script)
        slip_at = script.draw.below(len(self.factors))
        rest = self.value
        for position, prime in enumerate(self.factors[:-1]):
            _divide(script, rest, prime, slip=position == slip_at)
            rest //= prime
        self._last_prime(script)
        self._add(script)
        phrases.doubt(script)
        self._check(script)
        phrases.closing(script, str(self.total))
        self._tell(script)

    def _set_up(self, script: Script) -> None:
        phrases.opening(script)
        script.think(
            SETUP,
            f"I have to break {self.value} into primes and then add up the different ones.",
            f"The number is {self.value}, and what counts in the end is the sum of the primes that "
            "divide it.",
        )
        script.think(
            SETUP,
            "Each prime is counted once in the sum, even if it occurs several times as a factor.",
            "The word distinct matters: a repeated prime goes into the sum only once.",
        )
        script.think(
            FACT,
            "Every whole number above 1 is a product of primes in only one way, up to order.",
            "By the fundamental theorem of arithmetic the factorization is unique, so any order of "
            "division will do.",
        )
        script.think(
            PLAN,
            "I will try the small primes one after the other and divide each out as often as "
            "possible.",
            "The plan is trial division: 2, 3, 5, 7, 11 and so on, until what is left is prime.",
        )

    def _last_prime(self, script: Script) -> None:
        last = self.factors[-1]
        tests = [prime for prime in _PRIMES if prime * prime <= last]
        bound = next(prime for prime in _PRIMES if prime * prime > last)
        script.paragraph()
        script.think(
            SUM_UP,
            f"What remains is {last}, so I have to decide whether it is prime.",
            f"Now only {last} is left over.",
        )
        script.think(
            FACT,
            "To see whether a number is prime it is enough to try primes up to its square root.",
            "If a number had a proper factor, it would have one that is at most its square root.",
        )
        script.think(
            COMPUTE,
            f"Here {bound} × {bound} = {bound * bound} is already above {last}, so I only need "
            f"{_listed(tests)}.",
            f"Because {bound} × {bound} = {bound * bound} exceeds {last}, testing {_listed(tests)} "
            "is enough.",
        )
        remainders = [f"{last} mod {prime} = {last % prime}" for prime in tests]
        script.think(
            CHECK,
            f"None of them divides it: {_listed(remainders)}.",
            f"The remainders are never zero, since {_listed(remainders)}.",
        )
        script.think(
            SUM_UP,
            f"So {last} is prime, and {self.value} = {_times(self.factors)}.",
            f"Hence {last} is prime and the factorization is {self.value} = "
            f"{_times(self.factors)}.",
        )

    def _add(self, script: Script) -> None:
        if len(self.distinct) < len(self.factors) and script.draw.often(4, 5):
            script.think(
                COMPUTE,
                f"Adding all the factors, I get {_plus(self.factors)} = {sum(self.factors)} as the "
                "sum that is asked for.",
                slip=True,
            )
            twice = next(prime for prime in self.distinct if self.factors.count(prime) > 1)
            phrases.notice(
                script,
                f"The sum is over distinct primes, and I counted {twice} more than once.",
                f"That adds {twice} repeatedly, although it should go in only once.",
            )
        script.think(
            COMPUTE,
            f"The different primes are {_listed(self.distinct)}, and {_plus(self.distinct)} = "
            f"{self.total}.",
            f"Each prime once: {_plus(self.distinct)} = {self.total}.",
        )

    def _check(self, script: Script) -> None:
        phrases.check(script)
        script.think(
            PLAN,
            "I multiply the factors back together, one at a time.",
            "Multiplying everything out again should give the number I started from.",
        )
        running = self.factors[-1]
        for prime in reversed(self.factors[:-1]):
            script.think(
                CHECK,
                f"I get {running} × {prime} = {running * prime}.",
                f"Then {running} × {prime} = {running * prime}.",
                f"This gives {running} × {prime} = {running * prime}.",
            )
            running *= prime
        phrases.agreed(script)

    def _tell(self, script: Script) -> None:
        script.tell(
            SETUP,
            f"We factor {self.value} and add its distinct prime factors.",
            f"The task is to find the primes that divide {self.value}.",
        )
        script.tell(PLAN, "We divide by small primes as long as possible.", "Trial division works.")
        script.paragraph()
        rest = self.value
        for prime in self.factors[:-1]:
            script.tell(COMPUTE, f"- {rest} / {prime} = {rest // prime}")
            script.line()
            rest //= prime
        script.paragraph()
        script.tell(
            FACT,
            f"The remaining factor {rest} is prime, since no prime up to its square root divides "
            "it.",
            f"No prime whose square is at most {rest} divides {rest}, so it is prime.",
        )
        script.tell(
            COMPUTE,
            f"The distinct primes are {_listed(self.distinct)}, with the sum "
            f"{_plus(self.distinct)} = {self.total}.",
        )
        phrases.final(
            script,
            (
                f"Altogether {self.value} = {_times(self.factors)}, and the different primes add "
                f"up to {self.total}.",
                f"So the factorization is {self.value} = {_times(self.factors)}, and its distinct "
                f"primes have the sum {self.total}.",
            ),
            str(self.total),
        )


def _divide(script: Script, number: int, prime: int, *, slip: bool) -> None:
    quotient = number // prime
    script.paragraph()
    script.think(
        FACT,
        _RULES[prime],
        f"{script.phrase(phrases.NEXT)} I look at {number}. {_RULES[prime]}",
    )
    script.think(CHECK, *_evidence(number, prime))
    if slip:
        wrong = quotient + script.draw.pick((10, -10, 1))
        script.think(
            COMPUTE,
            f"Dividing, {number} / {prime} = {wrong}.",
            f"So I take it out: {number} / {prime} = {wrong}.",
            slip=True,
        )
        phrases.notice(
            script,
            f"Multiplying back, {prime} × {wrong} = {prime * wrong}, and that is not {number}.",
            f"If that were right, {prime} × {wrong} = {prime * wrong} would have to be {number}.",
        )
    script.think(
        COMPUTE,
        f"The division gives {number} / {prime} = {quotient}.",
        f"Taking the factor {prime} out, {number} / {prime} = {quotient}.",
        f"Carefully, {number} / {prime} = {quotient}.",
    )


def _evidence(number: int, prime: int) -> tuple[str, ...]:
    """Why `prime` divides `number`, by its rule."""
    digits = [int(digit) for digit in str(number)]
    last = digits[-1]
    if prime in (2, 5):
        return (
            f"The last digit of {number} is {last}, so {prime} divides it.",
            f"Since {number} ends in {last}, it is a multiple of {prime}.",
        )
    if prime == 3 and len(digits) > 1:
        return (
            f"The digits of {number} give {_plus(digits)} = {sum(digits)}, a multiple of 3.",
            f"Its digit sum is {_plus(digits)} = {sum(digits)}, which 3 divides.",
        )
    return (
        f"Trying it, {number} mod {prime} = 0, so {prime} is a factor.",
        f"I find {number} mod {prime} = 0, which means that {prime} goes in evenly.",
    )


def _product(numbers: tuple[int, ...]) -> int:
    result = 1
    for number in numbers:
        result *= number
    return result


def _times(numbers: tuple[int, ...]) -> str:
    return " × ".join(map(str, numbers))


def _plus(numbers: list[int] | tuple[int, ...]) -> str:
    return " + ".join(map(str, numbers))


def _listed(items: list[int] | list[str]) -> str:
    words = [str(item) for item in items]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
