"""Two sources of unequal speed working together: how long does a job take?"""

from __future__ import annotations

from dataclasses import dataclass

from extract.traces.samples import _phrases as phrases
from extract.traces.samples._draw import Draw
from extract.traces.samples._problem import Problem
from extract.traces.samples._script import CHECK, COMPUTE, FACT, PLAN, SETUP, SUM_UP, Script


@dataclass(frozen=True, slots=True)
class _Scene:
    first: str
    second: str
    things: str
    does: str
    job: str


_SCENES = (
    _Scene("the old pump", "the small pump", "litres", "delivers", "a tank"),
    _Scene("the first printer", "the second printer", "pages", "prints", "an order"),
    _Scene("the new machine", "the older machine", "bottles", "fills", "a delivery"),
    _Scene("the wide conveyor", "the narrow conveyor", "parcels", "moves", "a shipment"),
    _Scene("the large oven", "the side oven", "rolls", "bakes", "a batch"),
)


def draw(chance: Draw) -> Problem:
    """Rates of 9 to 40 and 3 to 34 a minute, jobs of 7 to 45 minutes."""
    scene = chance.pick(_SCENES)
    rate = chance.between(9, 40)
    slower = chance.between(2, min(rate - 3, 11))
    sample, answer = chance.between(6, 15), chance.between(7, 45)
    job = _Job(scene, rate, slower, sample, (2 * rate - slower) * answer)
    first = scene.first[0].upper() + scene.first[1:]
    question = (
        f"{first} {scene.does} {rate * sample} {scene.things} in {sample} minutes, and "
        f"{scene.second} manages {slower} {scene.things} per minute fewer. "
    ) + chance.pick(
        (
            f"Working together, how many minutes do they need for {scene.job} of {job.total} "
            f"{scene.things}?",
            f"If both run at the same time, after how many minutes is {scene.job} of {job.total} "
            f"{scene.things} complete?",
        )
    )
    key = f"rates-{_SCENES.index(scene)}-{rate}-{slower}-{sample}-{job.total}"
    return Problem(key, question, f"{answer} minutes", job.solve)


@dataclass(frozen=True, slots=True)
class _Job:
    scene: _Scene
    rate: int
    slower: int
    sample: int
    total: int

    @property
    def other(self) -> int:
        return self.rate - self.slower

    @property
    def joint(self) -> int:
        return self.rate + self.other

    @property
    def minutes(self) -> int:
        return self.total // self.joint

    def solve(self, script: Script) -> None:
        self._set_up(script)
        self._first_rate(script)
        self._second_rate(script)
        self._time(script)
        phrases.doubt(script)
        self._check(script)
        phrases.closing(script, f"{self.minutes} minutes")
        self._tell(script)

    def _set_up(self, script: Script) -> None:
        scene = self.scene
        phrases.opening(script)
        script.think(
            SETUP,
            f"I know that {scene.first} {scene.does} {self.rate * self.sample} {scene.things} in "
            f"{self.sample} minutes.",
            f"One thing is given directly: {self.rate * self.sample} {scene.things} take "
            f"{scene.first} {self.sample} minutes.",
        )
        script.think(
            SETUP,
            f"For {scene.second} I am only told that it manages {self.slower} {scene.things} per "
            f"minute fewer, and the whole job is {self.total} {scene.things}.",
            f"The other one is slower by {self.slower} {scene.things} a minute, and together they "
            f"have {self.total} {scene.things} to do.",
        )
        script.think(
            FACT,
            "A rate is an amount divided by the time that it takes.",
            "When two things work side by side at steady speeds, their rates add up.",
            "The time for a job is its size divided by the rate at which it is done.",
        )
        script.think(
            PLAN,
            "So I will find both rates per minute, add them, and divide the job by the sum.",
            "The plan is to get each rate, then the joint rate, and from that the time.",
        )

    def _first_rate(self, script: Script) -> None:
        amount = self.rate * self.sample
        script.paragraph()
        script.think(
            PLAN,
            f"{script.phrase(phrases.FIRST)}, the rate of {self.scene.first}.",
            f"{script.phrase(phrases.FIRST)}, how much does {self.scene.first} do in one minute?",
        )
        script.think(
            COMPUTE,
            f"Dividing, {amount} / {self.sample} = {self.rate}, so it does {self.rate} "
            f"{self.scene.things} per minute.",
            f"That is {amount} / {self.sample} = {self.rate} {self.scene.things} each minute.",
        )
        script.think(
            CHECK,
            f"Going back, {self.rate} × {self.sample} = {amount}, so that division is right.",
            f"And indeed {self.sample} × {self.rate} = {amount}, as the question says.",
        )

    def _second_rate(self, script: Script) -> None:
        scene = self.scene
        script.think(
            PLAN,
            f"{script.phrase(phrases.NEXT)} I need the rate of {scene.second}.",
            f"{script.phrase(phrases.NEXT)} I turn to {scene.second}.",
        )
        if script.draw.often(3, 5):
            script.think(
                COMPUTE,
                f"It differs by {self.slower}, so its rate is {self.rate} + {self.slower} = "
                f"{self.rate + self.slower} {scene.things} per minute.",
                f"With the difference of {self.slower}, that makes {self.rate} + {self.slower} = "
                f"{self.rate + self.slower} {scene.things} a minute.",
                slip=True,
            )
            phrases.notice(
                script,
                "The question says fewer, not more, so I have to subtract the difference.",
                f"It is the slower of the two, so its rate cannot be above {self.rate}.",
            )
        script.think(
            COMPUTE,
            f"Since it is slower, its rate is {self.rate} - {self.slower} = {self.other} "
            f"{scene.things} per minute.",
            f"Subtracting, {self.rate} - {self.slower} = {self.other} {scene.things} each minute.",
        )

    def _time(self, script: Script) -> None:
        things = self.scene.things
        script.paragraph()
        script.think(
            SUM_UP,
            f"So the two rates are {self.rate} and {self.other} {things} per minute.",
            f"Now I have both rates: {self.rate} for one and {self.other} for the other.",
        )
        if script.draw.often(3, 5):
            whole, rest = divmod(self.total, self.rate)
            script.think(
                COMPUTE,
                f"The job of {self.total} {things} at {self.rate} a minute then takes about "
                f"{whole + (rest > 0)} minutes.",
                slip=True,
            )
            phrases.notice(
                script,
                "That leaves the second one out altogether, although both are running.",
                f"I divided by {self.rate} alone, and forgot that they work together.",
            )
        script.think(
            COMPUTE,
            f"Together they do {self.rate} + {self.other} = {self.joint} {things} per minute.",
            f"Adding the rates, {self.rate} + {self.other} = {self.joint}.",
        )
        script.think(
            COMPUTE,
            f"The job then takes {self.total} / {self.joint} = {self.minutes} minutes.",
            f"Dividing the job by that, {self.total} / {self.joint} = {self.minutes}.",
        )

    def _check(self, script: Script) -> None:
        one, two = self.rate * self.minutes, self.other * self.minutes
        phrases.check(script)
        script.think(
            CHECK,
            f"In {self.minutes} minutes {self.scene.first} does {self.rate} × {self.minutes} = "
            f"{one} {self.scene.things}.",
            f"One of them contributes {self.rate} × {self.minutes} = {one} {self.scene.things} in "
            "that time.",
        )
        script.think(
            CHECK,
            f"Meanwhile {self.scene.second} does {self.other} × {self.minutes} = {two}.",
            f"The other one adds {self.other} × {self.minutes} = {two} to it.",
        )
        script.think(
            CHECK,
            f"In total that is {one} + {two} = {self.total}, exactly the size of the job.",
            f"The sum is {one} + {two} = {self.total}, which is what was asked for.",
        )
        phrases.agreed(script)

    def _tell(self, script: Script) -> None:
        scene = self.scene
        script.tell(
            SETUP,
            f"We are looking for the time in which both together finish {self.total} "
            f"{scene.things}.",
            f"Both work at once, and the job has {self.total} {scene.things}.",
        )
        script.tell(
            FACT,
            "Rates of things that work side by side add up.",
            "Working together means that the amounts done per minute are added.",
        )
        script.paragraph()
        script.tell(
            COMPUTE,
            f"1. For {scene.first}: {self.rate * self.sample} / {self.sample} = {self.rate} "
            f"{scene.things} per minute.",
        )
        script.line()
        script.tell(
            COMPUTE,
            f"2. For {scene.second}: {self.rate} - {self.slower} = {self.other} {scene.things} per "
            "minute.",
        )
        script.line()
        script.tell(
            COMPUTE,
            f"3. Together: {self.rate} + {self.other} = {self.joint} {scene.things} per minute, so "
            f"the time is {self.total} / {self.joint} = {self.minutes} minutes.",
        )
        phrases.final(
            script,
            (
                f"At the joint rate of {self.joint} per minute the job is done after "
                f"{self.minutes} minutes.",
                f"Both together therefore need {self.minutes} minutes for the job.",
            ),
            f"{self.minutes} minutes",
        )
