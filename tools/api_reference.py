"""Writes docs/api.md: signatures and docstrings of what the packages make public.

`make docs` runs it. Docstrings keep their words; sections become headings and lists of Markdown.
"""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[1] / "docs" / "api.md"
PACKAGES = ("spectra", "extract")
BESIDE = {
    "spectra.compare": ("compare", "Source", "Comparison"),
    "spectra.report": ("write_report",),
}
"""What is public in a module of its own, so that the package's import stays light."""
WIDTH = 100

HEAD = """# API reference

Written by `make docs` from the docstrings of the public names; edit those, not this page.
"""
SECTIONS = ("Args", "Attributes", "Returns", "Raises", "Yields")
_LISTED = ("Args", "Attributes", "Raises")
_ITEM = re.compile(r"(\*{0,2}\w+(?:, \*{0,2}\w+)*): (.*)", re.DOTALL)


def page() -> str:
    """The whole reference."""
    homes = {name: public_names(name) for name in PACKAGES} | BESIDE
    return "\n".join([HEAD, *(_module(name, names) for name, names in homes.items())])


def public_names(package: str) -> tuple[str, ...]:
    """Of `__all__`, what is documented: the version speaks for itself."""
    names: list[str] = import_module(package).__all__
    return tuple(name for name in names if not name.startswith("__"))


def _module(name: str, names: Sequence[str]) -> str:
    module = import_module(name)
    anchors = _anchors(name, names)
    index = ", ".join(f"[`{each}`](#{anchors[each]})" for each in names)
    return "\n".join(
        [
            f"## {name}\n\n{markdown(module)}\n{index}\n",
            *(_public(name, each, getattr(module, each)) for each in names),
        ]
    )


def _anchors(module: str, names: Sequence[str]) -> dict[str, str]:
    """What GitHub makes of the headings `module.name`: numbered where case alone differs."""
    found: dict[str, str] = {}
    for name in names:
        slug = f"{module}{name}".replace(".", "").lower()
        before = sum(one.lower() == name.lower() for one in found)
        found[name] = f"{slug}-{before}" if before else slug
    return found


def _public(package: str, name: str, value: Any) -> str:
    title = f"### {package}.{name}\n"
    if inspect.isclass(value):
        return "\n".join([title, *_class(f"{package}.{name}", value)])
    if callable(value):
        return "\n".join([title, _code(f"{package}.{name}", value), markdown(value)])
    text = repr(value).replace("'", '"')  # as the formatter has it
    return f"{title}\n{_code_block(f'{package}.{name} = {text}')}"


def _class(name: str, value: type) -> Iterator[str]:
    if issubclass(value, Warning):
        yield _code_block(f"class {name}({value.__bases__[0].__name__})")
    else:
        yield _code(name, value, kind="class ")
    yield markdown(value)
    for member, function, kind in _members(value):
        short = f"{value.__name__}.{member}"
        yield f"#### {short}\n"
        if kind == "property":
            kept = inspect.signature(function).return_annotation
            yield _code_block(f"{short}: {_plain(kept)}")
        else:
            yield _code(short, function, kind=f"{kind} " if kind else "", bound=True)
        yield markdown(function)


def _members(value: type) -> Iterator[tuple[str, Callable[..., Any], str]]:
    """Public methods and properties that the class itself defines, in its order."""
    for name, member in vars(value).items():
        if name.startswith("_"):
            continue
        if isinstance(member, property) and member.fget is not None:
            yield name, member.fget, "property"
        elif isinstance(member, classmethod):
            yield name, member.__func__, "classmethod"
        elif inspect.isfunction(member):
            yield name, member, ""


def _code(name: str, function: Callable[..., Any], *, kind: str = "", bound: bool = False) -> str:
    """The signature, a parameter a line where it is long."""
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())[1 if bound else 0 :]
    parameters = [each for each in parameters if not each.name.startswith("_")]
    cells = [_parameter(each) for each in parameters]
    keyword = next((i for i, p in enumerate(parameters) if p.kind is p.KEYWORD_ONLY), None)
    if keyword is not None:
        cells.insert(keyword, "*")
    back = signature.return_annotation
    arrow = "" if kind == "class " or back is signature.empty else f" -> {_plain(back)}"
    line = f"{kind}{name}({', '.join(cells)}){arrow}"
    if len(line) > WIDTH:
        inner = "".join(f"    {cell},\n" for cell in cells)
        line = f"{kind}{name}(\n{inner}){arrow}"
    return _code_block(line)


def _parameter(one: inspect.Parameter) -> str:
    text = one.name
    if one.annotation is not one.empty:
        text += f": {_plain(one.annotation)}"
    if one.default is not one.empty:
        text += f" = {_default(one.default)}"
    return text


def _default(value: Any) -> str:
    """As it is written, where its text would name a place in memory."""
    return "..." if inspect.isfunction(value) or repr(value) == "<factory>" else repr(value)


def _plain(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _code_block(text: str) -> str:
    return f"```python\n{text}\n```\n"


def markdown(documented: Any) -> str:
    """A Google docstring as Markdown."""
    out: list[str] = []
    text, section, body = [""], "", [""]
    for line in [*(inspect.getdoc(documented) or "").splitlines(), "."]:
        if section and (not line or line[0] == " "):
            body.append(line)
            continue
        if section:
            out.append(_section(section, textwrap.dedent("\n".join(body))))
            section, text = "", []
        if line[-1:] == ":" and line[:-1] in SECTIONS:
            out.append("\n".join(text).strip())
            section, body = line[:-1], []
        else:
            text.append(line)
    out.append("\n".join(text[:-1]).strip())
    return "\n\n".join(filter(None, out)) + "\n"


def _section(name: str, body: str) -> str:
    title = "Arguments" if name == "Args" else name
    if name not in _LISTED:
        return f"**{title}:** {_joined(body)}"
    items = [_joined(item) for item in re.split(r"\n(?=\S)", body.strip("\n"))]
    listed = [
        f"- `{match[1]}`: {match[2]}" if (match := _ITEM.fullmatch(item)) else f"- {item}"
        for item in items
    ]
    return f"**{title}:**\n\n" + "\n".join(listed)


def _joined(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    sys.path.insert(0, str(PAGE.parents[1]))
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
