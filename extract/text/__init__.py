"""Text to tokens and back: prompts from chat templates, and the tokens of each annotated step.

`TextTokenizer` wraps a tokenizer of the `tokenizers` package and finds by bytes which characters
each token covers; `encode_trace` makes of an annotated trace the ids that a model reads and the
token range of every step, with a report of what the two could not keep.
"""

from __future__ import annotations

from extract.text._align import AlignmentReport as AlignmentReport
from extract.text._encode import EncodedTrace as EncodedTrace
from extract.text._encode import encode_trace as encode_trace
from extract.text._tokenizer import EncodedText as EncodedText
from extract.text._tokenizer import TextTokenizer as TextTokenizer
