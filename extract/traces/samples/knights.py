"""Knights, who always tell the truth, and knaves, who always lie: three islanders speak."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from extract.traces.samples import _phrases as phrases
from extract.traces.samples._draw import Draw
from extract.traces.samples._problem import Problem
from extract.traces.samples._script import CHECK, COMPUTE, FACT, PLAN, SETUP, SUM_UP, Script

TRADES = ("baker", "miller", "smith", "weaver", "potter", "carpenter", "gardener", "ferryman")
KINDS = ("knave", "knight")
CLAIMS = ("knight", "knave", "same", "different")


def draw(chance: Draw) -> Problem:
    """Each speaks of the next, the third of the first; exactly one assignment fits."""
    trades = tuple(chance.shuffled(TRADES)[:3])
    while True:
        puzzle = _Puzzle(trades, tuple(chance.pick(CLAIMS) for _ in range(3)))
        if len(puzzle.solutions()) == 1:
            break
    spoken = " ".join(
        f'The {trade} says: "{puzzle.quote(speaker)}"' for speaker, trade in enumerate(trades)
    )
    question = chance.pick(
        (
            "On an island every inhabitant is either a knight, who always tells the truth, or a "
            f"knave, who always lies. You meet three of them. {spoken} Who is what?",
            "Knights always tell the truth and knaves always lie. Three islanders, each a knight "
            f"or a knave, speak to you. {spoken} Determine what each of them is.",
        )
    )
    key = f"knights-{'-'.join(trades)}-{'-'.join(puzzle.claims)}"
    return Problem(key, question, puzzle.told(puzzle.solutions()[0]), puzzle.solve)


@dataclass(frozen=True, slots=True)
class _Puzzle:
    """Three speakers; `claims` says what each claims of the next. A kind is 1 for a knight."""

    trades: tuple[str, ...]
    claims: tuple[str, ...]

    # ---- logic ----------------------------------------------------------------------------------

    def holds(self, speaker: int, kinds: tuple[int, ...]) -> bool:
        """Whether the claim is true when the islanders are of these kinds."""
        own, other = kinds[speaker], kinds[(speaker + 1) % 3]
        return {
            "knight": other == 1,
            "knave": other == 0,
            "same": own == other,
            "different": own != other,
        }[self.claims[speaker]]

    def solutions(self) -> list[tuple[int, ...]]:
        """All assignments in which knights speak truly and knaves falsely."""
        return [
            kinds
            for kinds in product((0, 1), repeat=3)
            if all(self.holds(speaker, kinds) == (kinds[speaker] == 1) for speaker in range(3))
        ]

    def implied(self, speaker: int, own: int, *, believed: bool) -> int:
        """The kind of the next islander, where the claim of one of kind `own` is as `believed`."""
        claim = self.claims[speaker]
        other = {"knight": 1, "knave": 0, "same": own, "different": 1 - own}[claim]
        return other if believed else 1 - other

    # ---- words ----------------------------------------------------------------------------------

    def who(self, speaker: int) -> str:
        return f"the {self.trades[speaker % 3]}"

    def quote(self, speaker: int) -> str:
        """What the islander says."""
        other = self.who(speaker + 1)
        return {
            "knight": f"{other.capitalize()} is a knight.",
            "knave": f"{other.capitalize()} is a knave.",
            "same": f"{other.capitalize()} and I are of the same kind.",
            "different": f"{other.capitalize()} and I are of different kinds.",
        }[self.claims[speaker]]

    def told(self, kinds: tuple[int, ...]) -> str:
        """The answer in words."""
        parts = [f"{self.who(i)} is a {KINDS[kind]}" for i, kind in enumerate(kinds)]
        return f"{parts[0]}, {parts[1]} and {parts[2]}"

    # ---- the trace ------------------------------------------------------------------------------

    def solve(self, script: Script) -> None:
        (answer,) = self.solutions()
        self._set_up(script)
        first = script.draw.below(2)
        slip = script.draw.often(4, 5)
        for kind in (first, 1 - first):
            self._case(script, kind, slip=slip and kind == 0)
        script.think(
            SUM_UP,
            f"Only one case survives, and in it {self.told(answer)}.",
            f"So just one assignment is left: {self.told(answer)}.",
        )
        phrases.doubt(script)
        self._check(script, answer)
        phrases.closing(script, self.told(answer))
        self._tell(script, answer)

    def _set_up(self, script: Script) -> None:
        phrases.opening(script)
        script.think(
            SETUP,
            f"There are three islanders, {self.who(0)}, {self.who(1)} and {self.who(2)}, and each "
            "is a knight or a knave.",
            f"I have three speakers here: {self.who(0)}, {self.who(1)} and {self.who(2)}.",
        )
        for speaker in range(3):
            script.think(
                SETUP,
                f'{self.who(speaker).capitalize()} says "{self.quote(speaker)}"',
                f'From {self.who(speaker)} I hear "{self.quote(speaker)}"',
            )
        script.think(
            FACT,
            "Whatever a knight says is true, and whatever a knave says is false.",
            "The rule is that knights only make true statements and knaves only false ones.",
        )
        script.think(
            FACT,
            "If two islanders differ in kind, then one of them is a knight and the other a knave.",
            "There are only two kinds, so whoever is not a knight must be a knave.",
        )
        script.think(
            PLAN,
            f"I will assume a kind for {self.who(0)}, follow the statements around, and see "
            "whether I come back to the same kind.",
            f"The plan is to try both kinds for {self.who(0)} and to look for a contradiction.",
        )

    def _case(self, script: Script, kind: int, *, slip: bool) -> None:
        script.paragraph()
        script.think(
            PLAN,
            f"Suppose that {self.who(0)} is a {KINDS[kind]}.",
            f"Let me take the case in which {self.who(0)} is a {KINDS[kind]}.",
            f"Assume for the moment that {self.who(0)} is a {KINDS[kind]}.",
        )
        kinds = [kind]
        for speaker in range(3):
            own = kinds[-1]
            if slip and own == 0:
                self._slip(script, speaker)
                slip = False
            kinds.append(self.implied(speaker, own, believed=own == 1))
            script.think(COMPUTE, *self._inference(speaker, own, kinds[-1]))
        if kinds[3] == kind:
            script.think(
                CHECK,
                "That is what I assumed, so this case is consistent.",
                f"This agrees with the assumption about {self.who(0)}, so nothing contradicts it.",
            )
        else:
            script.think(
                SUM_UP,
                f"But I assumed that {self.who(0)} is a {KINDS[kind]}, so this is a contradiction "
                "and the case is ruled out.",
                f"This contradicts the assumption that {self.who(0)} is a {KINDS[kind]}, so I can "
                "drop this case.",
            )

    def _inference(self, speaker: int, own: int, other: int) -> tuple[str, ...]:
        who, next_one = self.who(speaker), self.who(speaker + 1)
        truth = "true" if own else "false"
        return (
            f"As a {KINDS[own]}, {who} makes a {truth} statement, so {next_one} must be a "
            f"{KINDS[other]}.",
            f'Then "{self.quote(speaker)}" is {truth}, and it follows that {next_one} is a '
            f"{KINDS[other]}.",
            f"The statement of {who} would be {truth}, which makes {next_one} a {KINDS[other]}.",
        )

    def _slip(self, script: Script, speaker: int) -> None:
        wrong = self.implied(speaker, 0, believed=True)
        who, next_one = self.who(speaker), self.who(speaker + 1)
        script.think(
            COMPUTE,
            f'{who.capitalize()} says "{self.quote(speaker)}", so {next_one} is a {KINDS[wrong]}.',
            f"Going by what {who} says, {next_one} is then a {KINDS[wrong]}.",
            slip=True,
        )
        phrases.notice(
            script,
            f"In this case {who} is a knave, so I must take the opposite of the statement.",
            f"I believed {who}, but a knave's statement is false.",
        )

    def _check(self, script: Script, answer: tuple[int, ...]) -> None:
        phrases.check(script)
        for speaker, own in enumerate(answer):
            true = "true" if self.holds(speaker, answer) else "false"
            script.think(
                CHECK,
                f'"{self.quote(speaker)}" is {true} here, and {self.who(speaker)} is a '
                f"{KINDS[own]}, which fits.",
                f"{self.who(speaker).capitalize()} is a {KINDS[own]} in this solution, and the "
                f"statement is {true}, as it has to be.",
            )
        phrases.agreed(script)

    def _tell(self, script: Script, answer: tuple[int, ...]) -> None:
        script.tell(
            SETUP,
            f"We have to find out whether {self.who(0)}, {self.who(1)} and {self.who(2)} are "
            "knights or knaves.",
            "Each of the three islanders is a knight or a knave.",
        )
        script.tell(
            PLAN,
            f"We assume a kind for {self.who(0)} and follow the three statements around.",
            f"It is enough to consider both kinds for {self.who(0)}.",
        )
        script.paragraph()
        for own in (1 - answer[0], answer[0]):
            kinds = [own]
            for speaker in range(3):
                kinds.append(self.implied(speaker, kinds[-1], believed=kinds[-1] == 1))
            verdict = "as assumed" if kinds[3] == own else "a contradiction"
            script.tell(
                COMPUTE,
                f"- If {self.who(0)} is a {KINDS[own]}, then {self.who(1)} is a "
                f"{KINDS[kinds[1]]}, {self.who(2)} is a {KINDS[kinds[2]]}, and {self.who(0)} would "
                f"be a {KINDS[kinds[3]]}: {verdict}.",
            )
            script.line()
        phrases.final(
            script,
            (
                "Only one of the two cases is free of contradiction.",
                "All three statements fit the kinds of their speakers in the remaining case.",
            ),
            self.told(answer),
        )
