"""Hours and weekdays: arithmetic modulo 24 and modulo 7."""

from __future__ import annotations

from dataclasses import dataclass

from extract.traces.samples import _phrases as phrases
from extract.traces.samples._draw import Draw
from extract.traces.samples._problem import Problem
from extract.traces.samples._script import CHECK, COMPUTE, FACT, PLAN, SETUP, SUM_UP, Script

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def draw(chance: Draw) -> Problem:
    """An hour and a weekday, and 200 to 999 hours from then."""
    hour, day = chance.between(1, 23), chance.below(7)
    hours = chance.between(200, 999)
    shift = _Shift(hour, day, hours)
    question = chance.pick(
        (
            f"It is {hour:02d}:00 on a {DAYS[day]}. What day of the week and what time will it be "
            f"{hours} hours later?",
            f"A test run starts on {DAYS[day]} at {hour:02d}:00 and lasts {hours} hours. On which "
            "weekday and at what time does it end?",
            f"A ship leaves port on a {DAYS[day]} at {hour:02d}:00 and arrives {hours} hours "
            "later. Give the weekday and the time of arrival on a 24-hour clock.",
        )
    )
    return Problem(f"clock-{hour}-{day}-{hours}", question, shift.answer, shift.solve)


@dataclass(frozen=True, slots=True)
class _Shift:
    hour: int
    day: int
    hours: int

    @property
    def whole(self) -> int:
        """Full days in the given hours."""
        return self.hours // 24

    @property
    def rest(self) -> int:
        return self.hours % 24

    @property
    def sum(self) -> int:
        """The hour counted from midnight of the day before a carry."""
        return self.hour + self.rest

    @property
    def days(self) -> int:
        """Midnights that are passed."""
        return self.whole + self.sum // 24

    @property
    def end(self) -> int:
        return self.sum % 24

    @property
    def answer(self) -> str:
        return f"{DAYS[(self.day + self.days) % 7]}, {self.end:02d}:00"

    def solve(self, script: Script) -> None:
        self._set_up(script)
        self._split(script)
        self._hour(script)
        self._weekday(script)
        phrases.doubt(script)
        self._check(script)
        phrases.closing(script, self.answer)
        self._tell(script)

    def _set_up(self, script: Script) -> None:
        phrases.opening(script)
        script.think(
            SETUP,
            f"The start is {DAYS[self.day]} at {self.hour:02d}:00, and {self.hours} hours pass.",
            f"I begin at {self.hour:02d}:00 on a {DAYS[self.day]} and move {self.hours} hours "
            "ahead.",
        )
        script.think(
            SETUP,
            "I am asked for two things, the weekday and the time on a 24-hour clock.",
            "Both the hour and the day of the week are wanted at the end.",
        )
        script.think(
            FACT,
            "A day has 24 hours, so the clock repeats every 24 hours and the weekday every 7 days.",
            "Hours repeat modulo 24, and weekdays repeat modulo 7.",
        )
        script.think(
            PLAN,
            "I will split the hours into whole days and a remainder, move the clock by the "
            "remainder, and then count the weekdays.",
            "The plan: whole days first, then the leftover hours, and at the end the weekday.",
        )

    def _split(self, script: Script) -> None:
        whole, full = self.whole, self.whole * 24
        script.paragraph()
        script.think(
            PLAN,
            f"{script.phrase(phrases.FIRST)}, how many whole days are in {self.hours} hours?",
            f"{script.phrase(phrases.FIRST)}, I divide {self.hours} by 24.",
        )
        if script.draw.often(1, 2):
            script.think(
                COMPUTE,
                f"I think {whole + 1} days fit in, so nearly nothing is left over.",
                f"It looks as if {whole + 1} whole days go into it.",
                slip=True,
            )
            phrases.notice(
                script,
                f"Since {whole + 1} × 24 = {(whole + 1) * 24}, that is more than {self.hours} "
                "hours.",
                f"I have {whole + 1} × 24 = {(whole + 1) * 24}, which is already too many.",
            )
        script.think(
            COMPUTE,
            f"With {whole} days I get {whole} × 24 = {full}, and one more would be too many.",
            f"The largest multiple that fits is {whole} × 24 = {full}.",
        )
        script.think(
            COMPUTE,
            f"The remainder is {self.hours} - {full} = {self.rest} hours.",
            f"That leaves {self.hours} - {full} = {self.rest} hours over.",
        )
        script.think(
            SUM_UP,
            f"So {self.hours} hours are {whole} days and {self.rest} hours.",
            f"In other words, the time that passes is {whole} days plus {self.rest} hours.",
        )

    def _hour(self, script: Script) -> None:
        script.paragraph()
        script.think(
            PLAN,
            f"{script.phrase(phrases.NEXT)} I move the clock by the {self.rest} hours.",
            f"{script.phrase(phrases.NEXT)} the time of day, which only the {self.rest} hours "
            "change.",
        )
        script.think(
            COMPUTE,
            f"Adding to the hour, {self.hour} + {self.rest} = {self.sum}.",
            f"From {self.hour:02d}:00 that is {self.hour} + {self.rest} = {self.sum}.",
        )
        if self.sum >= 24:
            script.think(
                COMPUTE,
                f"This passes midnight, so the clock shows {self.sum} - 24 = {self.end}.",
                f"Being 24 or more, it wraps around: {self.sum} - 24 = {self.end}.",
            )
        else:
            script.think(
                CHECK,
                f"Being below 24, {self.sum} is the hour, and no further midnight is passed.",
                f"No midnight is passed, because {self.sum} is less than 24.",
            )

    def _weekday(self, script: Script) -> None:
        left = self.days % 7
        script.paragraph()
        script.think(
            PLAN,
            f"{script.phrase(phrases.NEXT)} I count how far the weekday moves.",
            f"{script.phrase(phrases.NEXT)} comes the day of the week.",
        )
        if self.sum >= 24:
            if script.draw.often(4, 5):
                script.think(
                    COMPUTE,
                    f"The weekday moves on by {self.whole} days in all.",
                    f"There were {self.whole} whole days, so that is how far the weekday moves.",
                    slip=True,
                )
                phrases.notice(
                    script,
                    "The leftover hours crossed midnight as well, so there is one more day.",
                    "I forgot the extra midnight that the remaining hours run over.",
                )
            script.think(
                COMPUTE,
                f"Counting that midnight too, {self.whole} + 1 = {self.days} days.",
                f"With the extra midnight it is {self.whole} + 1 = {self.days} days.",
            )
        script.think(
            COMPUTE,
            f"Taking out whole weeks, {self.days} mod 7 = {left}.",
            f"Only the remainder counts, and {self.days} mod 7 = {left}.",
        )
        script.think(COMPUTE, *self._walk(left))
        script.think(
            SUM_UP,
            f"So the end falls on a {self.answer.replace(', ', ' at ')}.",
            f"Altogether that is {self.answer.replace(', ', ', and the clock shows ')}.",
        )

    def _walk(self, left: int) -> tuple[str, ...]:
        passed = [DAYS[(self.day + step) % 7] for step in range(1, left + 1)]
        if not passed:
            return (
                f"So the weekday is {DAYS[self.day]} again.",
                f"That is a whole number of weeks, so it stays {DAYS[self.day]}.",
            )
        return (
            f"Counting on from {DAYS[self.day]}: {', '.join(passed)}.",
            f"After {DAYS[self.day]} the count runs through {', '.join(passed)}.",
        )

    def _check(self, script: Script) -> None:
        script.think(
            PLAN,
            "To test it, I count all the hours from the first midnight on.",
            "Let me verify it from the midnight at which the first day began.",
        )
        total = self.hour + self.hours
        script.think(
            CHECK,
            f"From that midnight, {self.hour} + {self.hours} = {total} hours go by until the end.",
            f"The end lies {self.hour} + {self.hours} = {total} hours after it.",
        )
        script.think(
            CHECK,
            f"I find {self.days} × 24 = {self.days * 24} and {total} - {self.days * 24} = "
            f"{self.end}, so it is {self.end:02d}:00, {self.days} days on.",
            f"Since {self.days} × 24 = {self.days * 24}, there remain {total} - {self.days * 24} = "
            f"{self.end} hours after {self.days} days.",
        )
        phrases.agreed(script)

    def _tell(self, script: Script) -> None:
        whole, full = self.whole, self.whole * 24
        script.tell(
            SETUP,
            f"We start on {DAYS[self.day]} at {self.hour:02d}:00 and go {self.hours} hours ahead.",
            f"The question is where {self.hours} hours lead from {DAYS[self.day]}, "
            f"{self.hour:02d}:00.",
        )
        script.tell(
            FACT,
            "The clock repeats after 24 hours and the weekday after 7 days.",
            "We use remainders: 24 for the hours, 7 for the days.",
        )
        script.paragraph()
        script.tell(
            COMPUTE,
            f"- Whole days: {whole} × 24 = {full}, which leaves {self.hours} - {full} = "
            f"{self.rest} hours.",
        )
        script.line()
        if self.sum >= 24:
            script.tell(
                COMPUTE,
                f"- Hour: {self.hour} + {self.rest} = {self.sum}, and {self.sum} - 24 = "
                f"{self.end} on the next day.",
            )
        else:
            script.tell(COMPUTE, f"- Hour: {self.hour} + {self.rest} = {self.sum}.")
        script.line()
        script.tell(
            COMPUTE,
            f"- Weekday: {self.days} days pass, and {self.days} mod 7 = {self.days % 7}.",
        )
        phrases.final(
            script,
            (
                f"Moving {self.days % 7} weekdays on from {DAYS[self.day]} leads to "
                f"{DAYS[(self.day + self.days) % 7]}, at {self.end:02d}:00.",
                f"So the weekday is {DAYS[(self.day + self.days) % 7]} and the clock shows "
                f"{self.end:02d}:00.",
            ),
            self.answer,
        )
