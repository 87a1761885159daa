"""A table for LaTeX, of plain commands and booktabs' rules."""

from __future__ import annotations

from spectra.printable import printable
from spectra.tables.wide import Wide

_ESCAPES = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "%": r"\%", "_": r"\_", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}",
    "-": "-{}", ",": ",{}", "'": r"\textquotesingle{}", "`": r"\textasciigrave{}", "–": "--",
    "±": r"$\pm$", "[": "{[}", "]": "{]}",
}  # fmt: skip
_LATIN_1 = range(0xC0, 0x100)
HEAD = r"% \usepackage[T1]{fontenc} \usepackage{textcomp} \usepackage{booktabs}"


def escaped(text: str) -> str:
    """Text that shows as it is; letters that pdfTeX's fonts lack as [U+4E2D]."""
    return "".join(_letter(letter) for letter in printable(text))


def latex(table: Wide) -> str:
    """A tabular: text to the left, numbers to the right."""
    columns = "".join("r" if numeric else "l" for numeric in table.numeric)
    head = " & ".join(escaped(name) for name in table.headings)
    body = (
        " & ".join(
            text.replace("–", "--") if numeric else escaped(text)
            for text, numeric in zip(line, table.numeric, strict=True)
        )
        for line in table.cells(r" $\pm$ ")
    )
    rows = "".join(rf"{line} \\" + "\n" for line in body)
    return (
        f"{HEAD}\n\\begin{{tabular}}{{{columns}}}\n\\toprule\n{head} \\\\\n\\midrule\n{rows}"
        "\\bottomrule\n\\end{tabular}\n"
    )


def _letter(letter: str) -> str:
    if letter in _ESCAPES:
        return _ESCAPES[letter]
    if letter.isascii() or (ord(letter) in _LATIN_1 and letter not in "×÷"):
        return letter
    return f"{{[}}U+{ord(letter):04X}{{]}}"
