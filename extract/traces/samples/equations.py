"""A linear equation with a bracket and the unknown on both sides."""

from __future__ import annotations

from dataclasses import dataclass

from extract.traces.samples import _phrases as phrases
from extract.traces.samples._draw import Draw
from extract.traces.samples._problem import Problem
from extract.traces.samples._script import CHECK, COMPUTE, FACT, PLAN, SETUP, SUM_UP, Script


def draw(chance: Draw) -> Problem:
    """a(x + b) = cx + d with whole numbers throughout, c < a, and x from 2 to 19."""
    a = chance.between(4, 12)
    b, c, x = chance.between(2, 15), chance.between(2, a - 2), chance.between(2, 19)
    equation = _Equation(chance.pick(("x", "y", "n", "t", "k")), a, b, c, x)
    question = chance.pick(
        (
            f"Solve for {equation.name}: {equation.given}",
            f"Find the value of {equation.name} that satisfies {equation.given}.",
            f"For which {equation.name} does {equation.given} hold?",
        )
    )
    key = f"equation-{a}-{b}-{c}-{equation.d}"
    return Problem(key, question, f"{equation.name} = {x}", equation.solve)


@dataclass(frozen=True, slots=True)
class _Equation:
    name: str
    a: int
    b: int
    c: int
    x: int

    @property
    def d(self) -> int:
        return self.a * (self.x + self.b) - self.c * self.x

    @property
    def ab(self) -> int:
        return self.a * self.b

    @property
    def slope(self) -> int:
        return self.a - self.c

    @property
    def right(self) -> str:
        return f"{self.c}{self.name} + {self.d}"

    @property
    def given(self) -> str:
        return f"{self.a}({self.name} + {self.b}) = {self.right}"

    def solve(self, script: Script) -> None:
        self._set_up(script)
        self._expand(script)
        self._collect(script)
        self._isolate(script)
        phrases.doubt(script)
        self._check(script)
        phrases.closing(script, f"{self.name} = {self.x}")
        self._tell(script)

    def _set_up(self, script: Script) -> None:
        phrases.opening(script)
        script.think(
            SETUP,
            f"I have the equation {self.given} with one unknown, {self.name}.",
            f"The equation is {self.given}, and {self.name} is what I am looking for.",
        )
        script.think(
            SETUP,
            "The unknown stands on both sides, and on the left it is inside a bracket.",
            f"On the left there is a bracket with a factor of {self.a} in front, on the right a "
            f"term with {self.name} and a plain number.",
        )
        script.think(
            FACT,
            "An equation stays true when the same thing is done to both sides.",
            "I may add, subtract, multiply or divide on both sides, as long as I never divide by "
            "zero.",
        )
        script.think(
            PLAN,
            f"So the plan is to expand the bracket, bring the terms with {self.name} to one side "
            "and the numbers to the other, and then divide.",
            f"I will multiply out first, then collect everything with {self.name} on the left.",
        )

    def _expand(self, script: Script) -> None:
        name, a, b = self.name, self.a, self.b
        script.paragraph()
        script.think(
            FACT,
            f"By the distributive law the {a} multiplies both terms in the bracket.",
            f"Expanding means that {name} and {b} are each multiplied by {a}.",
        )
        if script.draw.often(3, 5):
            script.think(
                COMPUTE,
                f"{script.phrase(phrases.FIRST)}, expanding gives {a}{name} + {b} = {self.right}.",
                f"So the left side becomes {a}{name} + {b}, and I get {a}{name} + {b} = "
                f"{self.right}.",
                slip=True,
            )
            phrases.notice(
                script,
                f"I multiplied only the {name} by {a} and left the {b} as it was.",
                f"The {b} is inside the bracket too, so it has to be multiplied by {a} as well.",
            )
        script.think(
            COMPUTE,
            f"Since {a} × {b} = {self.ab}, the left side is {a}{name} + {self.ab}.",
            f"With {a} × {b} = {self.ab} the bracket turns into {a}{name} + {self.ab}.",
        )
        script.think(
            SUM_UP,
            f"The equation now reads {a}{name} + {self.ab} = {self.right}.",
            f"So I have {a}{name} + {self.ab} = {self.right}.",
        )

    def _collect(self, script: Script) -> None:
        name, c = self.name, self.c
        script.paragraph()
        script.think(
            PLAN,
            f"{script.phrase(phrases.NEXT)} I subtract {c}{name} from both sides.",
            f"{script.phrase(phrases.NEXT)} I move the {c}{name} over to the left.",
        )
        script.think(
            COMPUTE,
            f"Because {self.a} - {c} = {self.slope}, this leaves {self.slope}{name} + {self.ab} = "
            f"{self.d}.",
            f"The coefficients combine to {self.a} - {c} = {self.slope}, so {self.slope}{name} + "
            f"{self.ab} = {self.d}.",
        )

    def _isolate(self, script: Script) -> None:
        name, rest = self.name, self.slope * self.x
        if script.draw.often(3, 5):
            wrong = self.d + self.ab
            script.think(
                COMPUTE,
                f"Bringing the {self.ab} over, I get {self.slope}{name} = {wrong}.",
                f"Then {self.slope}{name} = {wrong} once the {self.ab} is on the other side.",
                slip=True,
            )
            phrases.notice(
                script,
                f"I added the {self.ab}, but it has to be subtracted from both sides.",
                f"Moving the {self.ab} across changes its sign, so I must subtract it.",
            )
        script.think(
            COMPUTE,
            f"Subtracting {self.ab} on both sides, {self.d} - {self.ab} = {rest}, so "
            f"{self.slope}{name} = {rest}.",
            f"On the right I get {self.d} - {self.ab} = {rest}, that is {self.slope}{name} = "
            f"{rest}.",
        )
        script.think(
            COMPUTE,
            f"Finally I divide: {rest} / {self.slope} = {self.x}.",
            f"Dividing by {self.slope} gives {rest} / {self.slope} = {self.x}.",
        )
        script.think(
            SUM_UP,
            f"So the candidate is {name} = {self.x}.",
            f"This leads to {name} = {self.x}.",
        )

    def _check(self, script: Script) -> None:
        inner, left, product = self.x + self.b, self.a * (self.x + self.b), self.c * self.x
        phrases.check(script)
        script.think(
            PLAN,
            f"I put {self.x} back into the original equation.",
            f"The surest way is to substitute {self.x} for {self.name} at the very beginning.",
        )
        script.think(
            CHECK,
            f"On the left, {self.x} + {self.b} = {inner} and {self.a} × {inner} = {left}.",
            f"The left side: {self.x} + {self.b} = {inner}, and then {self.a} × {inner} = {left}.",
        )
        script.think(
            CHECK,
            f"On the right, {self.c} × {self.x} = {product} and {product} + {self.d} = {left}.",
            f"The right side: {self.c} × {self.x} = {product}, and then {product} + {self.d} = "
            f"{left}.",
        )
        phrases.agreed(script)

    def _tell(self, script: Script) -> None:
        name, rest = self.name, self.slope * self.x
        script.tell(
            SETUP,
            f"We solve {self.given} for {name}.",
            f"The given equation is {self.given}.",
        )
        script.tell(
            PLAN,
            "Expand the bracket, collect like terms, and divide.",
            f"We multiply out and bring the terms with {name} to one side.",
        )
        script.paragraph()
        script.tell(
            COMPUTE,
            f"1. Expanding: {self.a}{name} + {self.ab} = {self.right}, because {self.a} × {self.b} "
            f"= {self.ab}.",
        )
        script.line()
        script.tell(
            COMPUTE,
            f"2. Subtracting {self.c}{name} and {self.ab}: {self.slope}{name} = {rest}.",
        )
        script.line()
        script.tell(COMPUTE, f"3. Dividing by {self.slope}: {name} = {self.x}.")
        script.paragraph()
        script.tell(
            CHECK,
            f"Check: both sides of the original equation equal {self.a * (self.x + self.b)} for "
            f"{name} = {self.x}.",
        )
        phrases.final(
            script,
            (
                f"The equation has exactly one solution, {name} = {self.x}.",
                f"Only {self.x} can stand for {name}, and it does satisfy the equation.",
            ),
            f"{name} = {self.x}",
        )
