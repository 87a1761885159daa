"""Coverage-guided fuzzing of what reads files: `python -m tests.fuzz TARGET` (CONTRIBUTING.md)."""
