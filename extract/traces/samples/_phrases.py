"""Sentences that fit any problem, and the ways to begin one."""

from __future__ import annotations

from extract.traces.samples._script import ANSWER, CHECK, DOUBT, PLAN, SETUP, SUM_UP, Script

OPENINGS = (
    "Okay, let me read the question carefully before I do anything.",
    "Alright, so first I want to be clear about what is being asked.",
    "Let me start by restating the problem in my own words.",
    "So, what exactly do I have here?",
    "Let me first write down what I have been given.",
    "Okay, so here is a question that I can take apart piece by piece.",
)
NOTICES = (
    "Wait, that does not look right.",
    "Hold on, I think I made a mistake just now.",
    "Hmm, something is off with what I just wrote.",
    "No, that cannot be correct.",
    "Wait a moment, let me look at that line again.",
    "Hmm, I should not trust that last step.",
)
DOUBTS = (
    "Hmm, I am not entirely sure that I have used every condition, so let me look once more.",
    "Am I certain that I did not misread a number here?",
    "I could have made a careless mistake somewhere, and it would be easy to miss.",
    "Maybe there is a catch that I have not seen yet.",
    "Hmm, is that really all there is to it, or have I gone too fast?",
    "Perhaps I should slow down, because this is where it is easy to go wrong.",
    "I wonder whether a different route would have given something else.",
)
CHECKS = (
    "Let me check this before I commit to it.",
    "I want to verify the result in a second way.",
    "To be safe, I will test the result against the question.",
    "Let me make sure that this holds up.",
    "Now for a quick check of the whole thing.",
)
GOING_ON = (
    "Good, that agrees, so I can go on.",
    "That matches, which is reassuring.",
    "Everything fits together now.",
    "So the check comes out as it should.",
    "Yes, that is consistent with what I had.",
)
CLOSINGS = (
    "I am confident in this now, so let me write it up.",
    "That settles it, and I can write the answer down properly.",
    "All right, time to put it into a clear answer.",
    "With that I have what I need for the answer.",
)
FIRST = ("First", "To begin with", "As a first step", "Before anything else")
NEXT = ("Next", "After that", "Then", "Now")


def opening(script: Script) -> None:
    """How the thought begins, more often than not."""
    if script.draw.often(2, 3):
        script.think(SETUP, script.phrase(OPENINGS))


def doubt(script: Script) -> None:
    """A doubt that leads to another look, in a new paragraph."""
    script.paragraph()
    script.think(DOUBT, script.phrase(DOUBTS))


def notice(script: Script, *reasons: str) -> None:
    """Notice a slip and say what was wrong."""
    words = script.phrase(NOTICES)
    script.think(DOUBT, *(f"{words} {reason}" for reason in reasons))


def check(script: Script) -> None:
    """Announce a check, in a new paragraph."""
    script.paragraph()
    script.think(CHECK, script.phrase(CHECKS))


def agreed(script: Script) -> None:
    """A check came out well, which is said more often than not."""
    if script.draw.often(2, 3):
        script.think(CHECK, script.phrase(GOING_ON))


def closing(script: Script, answer: str) -> None:
    """The end of the thought: the answer, and perhaps that it will be written up."""
    script.paragraph()
    script.think(
        ANSWER,
        f"So here is my answer: {answer}.",
        f"My final answer: {answer}.",
        f"So the answer should be: {answer}.",
        f"I arrive at this answer: {answer}.",
    )
    if script.draw.often(1, 2):
        script.think(PLAN, script.phrase(CLOSINGS))


def final(script: Script, summary: tuple[str, ...], answer: str) -> None:
    """The end of the solution: what was found, and the answer marked as such."""
    script.paragraph()
    script.tell(SUM_UP, *summary)
    script.paragraph()
    script.tell(
        ANSWER,
        f"**Answer:** {answer}",
        f"**Final answer:** {answer}",
        f"Answer: **{answer}**",
        f"The final answer is: **{answer}**",
    )
