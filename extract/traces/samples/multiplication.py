"""The product of a number of three digits and one of two, worked out by parts."""

from __future__ import annotations

from dataclasses import dataclass

from extract.traces.samples import _phrases as phrases
from extract.traces.samples._draw import Draw
from extract.traces.samples._problem import Problem
from extract.traces.samples._script import CHECK, COMPUTE, FACT, PLAN, SETUP, SUM_UP, Script


def draw(chance: Draw) -> Problem:
    """Factors of 112 to 989 and 23 to 98, neither ending in 0."""
    a = chance.between(11, 98) * 10 + chance.between(2, 9)
    b = chance.between(2, 9) * 10 + chance.between(3, 8)
    question = chance.pick(
        (
            f"What is {a} times {b}? Please show your reasoning.",
            f"Work out the product {a} × {b} without a calculator.",
            f"A warehouse packs {a} tiles into each crate. How many tiles are there in {b} crates?",
            f"A theatre has {a} seats, and {b} performances were sold out. How many tickets were "
            "sold in all?",
        )
    )
    product = _Product(a, b)
    return Problem(f"multiplication-{a}-{b}", question, str(a * b), product.solve)


@dataclass(frozen=True, slots=True)
class _Product:
    a: int
    b: int

    def solve(self, script: Script) -> None:
        self._set_up(script)
        self._tens(script)
        self._units(script)
        self._add(script)
        phrases.doubt(script)
        for check in script.draw.pick(
            (
                (self._check_last_digit, self._check_nines),
                (self._check_last_digit,),
                (self._check_difference,),
            )
        ):
            check(script)
        phrases.closing(script, str(self.a * self.b))
        self._tell(script)

    @property
    def tens(self) -> int:
        return self.b // 10

    @property
    def units(self) -> int:
        return self.b % 10

    @property
    def parts(self) -> tuple[int, int]:
        """The product with the tens of b, and with its units."""
        return self.a * self.tens * 10, self.a * self.units

    def _set_up(self, script: Script) -> None:
        a, b = self.a, self.b
        phrases.opening(script)
        script.think(
            SETUP,
            f"The question comes down to multiplying {a} by {b}.",
            f"What I need is the product of the two numbers {a} and {b}.",
            f"There are {b} groups of {a} each, so I have to find {a} times {b}.",
        )
        script.think(
            FACT,
            "Multiplication distributes over addition, so I may split one factor and add up the "
            "partial products.",
            "I remember that a × (c + d) is the same as a × c plus a × d.",
            "Long multiplication works because each digit of a factor can be handled on its own.",
        )
        script.think(
            PLAN,
            f"My plan is to split {b} into {self.tens * 10} and {self.units}, multiply {a} by "
            "each, and add the two results.",
            f"I will treat {b} as {self.tens * 10} + {self.units}, take the two products one after "
            "the other, and put them together at the end.",
        )
        rough = round(a, -2), round(b, -1)
        script.think(
            COMPUTE,
            f"As a rough guide, {rough[0]} × {rough[1]} = {rough[0] * rough[1]}, so I expect "
            "something of that size.",
            f"An estimate first: {rough[0]} × {rough[1]} = {rough[0] * rough[1]}, and the exact "
            "value should not be far from that.",
        )

    def _tens(self, script: Script) -> None:
        a, ten, part = self.a, self.tens * 10, self.parts[0]
        script.paragraph()
        script.think(
            PLAN,
            f"{script.phrase(phrases.FIRST)}, I take the tens, that is {a} × {ten}.",
            f"{script.phrase(phrases.FIRST)}, let me multiply by {ten}.",
        )
        script.think(
            COMPUTE,
            f"With the single digit, {a} × {self.tens} = {a * self.tens}.",
            f"Leaving the zero aside, I get {a} × {self.tens} = {a * self.tens}.",
        )
        if script.draw.often(3, 5):
            script.think(
                COMPUTE,
                f"So the first partial product is {a} × {ten} = {part // 10}.",
                f"That makes {a} × {ten} = {part // 10} for the tens.",
                slip=True,
            )
            phrases.notice(
                script,
                f"I multiplied by {self.tens} but the digit stands for {ten}, so a zero is "
                "missing.",
                "The result has to be ten times larger, because the digit is in the tens place.",
            )
        script.think(
            COMPUTE,
            f"Putting the zero back, {a} × {ten} = {part}.",
            f"With the zero behind it, this becomes {a} × {ten} = {part}.",
        )

    def _units(self, script: Script) -> None:
        unit, part = self.units, self.parts[1]
        hundreds, rest = self.a // 100 * 100, self.a % 100
        script.think(
            PLAN,
            f"{script.phrase(phrases.NEXT)} comes the units digit, so I need {self.a} × {unit}.",
            f"{script.phrase(phrases.NEXT)} I do the same with the {unit}.",
        )
        script.think(
            COMPUTE,
            f"Splitting again, {hundreds} × {unit} = {hundreds * unit} and {rest} × {unit} = "
            f"{rest * unit}.",
            f"I break it up: {hundreds} × {unit} = {hundreds * unit}, and {rest} × {unit} = "
            f"{rest * unit}.",
        )
        script.think(
            COMPUTE,
            f"Together that is {hundreds * unit} + {rest * unit} = {part}.",
            f"Adding the pieces, {hundreds * unit} + {rest * unit} = {part}.",
        )

    def _add(self, script: Script) -> None:
        large, small = self.parts
        script.paragraph()
        script.think(
            SUM_UP,
            f"So I now have two partial products, {large} and {small}.",
            f"At this point the two parts are {large} from the tens and {small} from the units.",
        )
        if script.draw.often(3, 5):
            wrong = large + small - script.draw.pick((100, 1000))
            script.think(
                COMPUTE,
                f"Their sum is {large} + {small} = {wrong}.",
                f"Adding them up gives {large} + {small} = {wrong}.",
                slip=True,
            )
            phrases.notice(
                script,
                "I dropped a carry when I added the columns.",
                "One of the carries got lost in that addition.",
                f"If I take {small} away from {wrong} again I get {wrong - small}, which is not "
                f"{large}.",
            )
            script.think(
                COMPUTE,
                f"Once more, column by column: {large} + {small} = {large + small}.",
                f"Doing it again slowly, {large} + {small} = {large + small}.",
            )
        else:
            script.think(
                COMPUTE,
                f"Their sum is {large} + {small} = {large + small}.",
                f"Adding column by column, {large} + {small} = {large + small}.",
            )

    def _check_last_digit(self, script: Script) -> None:
        last, unit = self.a % 10, self.units
        script.think(
            FACT,
            "The last digit of a product depends only on the last digits of its factors.",
            "A quick test uses the units digits, since they alone decide how the product ends.",
        )
        script.think(
            CHECK,
            f"Here {last} × {unit} = {last * unit}, which ends in {last * unit % 10}, and "
            f"{self.a * self.b} ends in {self.a * self.b % 10} as well.",
            f"We have {last} × {unit} = {last * unit}, so the result must end in "
            f"{last * unit % 10}, and {self.a * self.b} does.",
        )

    def _check_nines(self, script: Script) -> None:
        a, b = self.a % 9, self.b % 9
        script.think(
            FACT,
            "Another test is casting out nines: remainders on division by 9 multiply like the "
            "numbers themselves.",
            "I can also compare remainders modulo 9, because they respect multiplication.",
        )
        script.think(
            CHECK,
            f"I get {self.a} mod 9 = {a} and {self.b} mod 9 = {b}, so the product should leave "
            f"the remainder of {a} × {b} = {a * b}, which is {a * b % 9}.",
        )
        script.think(
            CHECK,
            f"Indeed {self.a * self.b} mod 9 = {self.a * self.b % 9}, so this test is passed too.",
            f"And {self.a * self.b} mod 9 = {self.a * self.b % 9}, just as it should be.",
        )

    def _check_difference(self, script: Script) -> None:
        up, gap = self.tens * 10 + 10, 10 - self.units
        script.think(
            PLAN,
            f"For a second route I round {self.b} up to {up} and take away {gap} groups.",
            f"Let me also go the other way, from {up} groups down to {self.b}.",
        )
        script.think(
            CHECK,
            f"That is {self.a} × {up} = {self.a * up} and {self.a} × {gap} = {self.a * gap}.",
        )
        script.think(
            CHECK,
            f"The difference is {self.a * up} - {self.a * gap} = {self.a * self.b}, the same "
            "number as before.",
            f"Since {self.a * up} - {self.a * gap} = {self.a * self.b}, both routes agree.",
        )

    def _tell(self, script: Script) -> None:
        a, ten, unit = self.a, self.tens * 10, self.units
        script.tell(
            SETUP,
            f"We need the product of {a} and {self.b}.",
            f"The task is to multiply {a} by {self.b}.",
        )
        script.tell(
            PLAN,
            f"Split {self.b} into {ten} + {unit} and multiply {a} by each part.",
            f"It is easiest to handle the tens and the units of {self.b} separately.",
        )
        script.paragraph()
        script.tell(COMPUTE, f"- Tens: {a} × {ten} = {self.parts[0]}")
        script.line()
        script.tell(COMPUTE, f"- Units: {a} × {unit} = {self.parts[1]}")
        script.paragraph()
        script.tell(
            COMPUTE,
            f"Adding the partial products: {self.parts[0]} + {self.parts[1]} = {a * self.b}.",
        )
        phrases.final(
            script,
            (
                f"The two partial products together make {a * self.b}, which also ends in the "
                "right digit.",
                f"So the product of {a} and {self.b} comes to {a * self.b}.",
            ),
            str(a * self.b),
        )
