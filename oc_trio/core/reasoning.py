"""Removes a model's reasoning from its answer: `<think>` tags, and quotes that begin with `Reasoning:` or `Thinking`.

Code is not touched, so that an answer about such tags stays complete. An unquoted `Reasoning:` counts only if italic
lines follow, the form in which some gateways render reasoning; an ordinary answer may begin with that word.
"""

import re

from oc_trio.core.code_fences import likely_code_ranges

_NAMES = "think|thinking|thought|reasoning"
_TAG = re.compile(rf"<\s{{0,3}}(?P<close>/?)\s{{0,3}}(?:{_NAMES})\b[^<>\n]{{0,80}}>", re.IGNORECASE)
# The beginning of a tag at the very end of a text that is still being streamed.
_TAG_BEGUN = re.compile(r"<\s{0,3}/?\s{0,3}[a-z]{0,9}\Z", re.IGNORECASE)
_LONGEST_BEGUN = 17  # characters of such a beginning
# A quote at the very end that may become one of reasoning.
_QUOTE_BEGUN = re.compile(r"(?:\A|\n)\s{0,3}>[>\s]*[*_]{0,3}(?P<word>[a-z]*)\s*\Z", re.IGNORECASE)
# All that may follow the last `>` of such a quote.
_QUOTE_REST = re.compile(r"[\sa-z*_]*", re.IGNORECASE)
_HINTS = ("reasoning", "thinking")
_QUOTED = re.compile(r"\s{0,3}>[>\s]*[*_]{0,3}(?:reasoning\s*:|thinking\b)", re.IGNORECASE)
_LABEL = re.compile(r"\s*[*_]{0,3}(?:reasoning\s*:|thinking(?:…|\.\.\.|:)?)[*_]{0,3}\s*", re.IGNORECASE)
_ITALIC = re.compile(r"\s*(?:_[^_\n].*_|\*[^*\s].*\*)\s*")


def without_reasoning(text: str, *, streaming: bool = False) -> str:
    """`text` without reasoning; if something was removed, also without white space at both ends.

    While `streaming`, an incomplete tag or quote at the end is held back too, since it may turn out to be reasoning.
    """
    kept = _without_tags(text)
    if streaming:
        # Only the end is looked at: this is done for the whole text whenever a draft is written.
        begun = _TAG_BEGUN.search(kept, max(0, len(kept) - _LONGEST_BEGUN))
        if begun is not None and _may_be_tag(begun[0]):
            kept = kept[: begun.start()]
        last = kept.rfind(">")
        may_be_quote = last >= 0 and _QUOTE_REST.fullmatch(kept, last + 1) is not None
        if may_be_quote and (quote := _QUOTE_BEGUN.search(kept)) and _may_be_label(quote["word"]):
            kept = kept[: quote.start()]
    kept = _without_blocks(kept)
    return kept if kept == text else kept.strip()


def is_reasoning_only(text: str) -> bool:
    """Whether the text contains only reasoning, so that there is nothing to post."""
    return bool(text.strip()) and not without_reasoning(text).strip()


def _may_be_tag(begun: str) -> bool:
    name = begun.lstrip("</ \t\n").lower()
    return any(full.startswith(name) for full in _NAMES.split("|"))


def _may_be_label(word: str) -> bool:
    return any(full.startswith(word.lower()) for full in ("reasoning", "thinking"))


def _without_tags(text: str) -> str:
    """Removes tagged passages. An unclosed one extends to the end; a closing tag alone ends one from the start,
    because some chat templates put the opening tag into the prompt.
    """
    if "<" not in text:
        return text
    code = likely_code_ranges(text)
    kept: list[str] = []
    at, depth = 0, 0
    for tag in _TAG.finditer(text):
        # Within reasoning a fence may be left open, so the closing tag counts even if it seems to be in code.
        if depth == 0 and any(start <= tag.start() < end for start, end in code):
            continue
        if tag["close"]:
            if depth == 0:
                kept.clear()
            depth = max(0, depth - 1)
        else:
            if depth == 0:
                kept.append(text[at : tag.start()])
            depth += 1
        at = tag.end()
    if depth == 0:
        kept.append(text[at:])
    return "".join(kept)


def _without_blocks(text: str) -> str:
    # Most answers have neither word, and a search for both that ignores case takes many times as long.
    folded = text.casefold()
    if not any(hint in folded for hint in _HINTS):
        return text
    lines = text.split("\n")
    fenced = likely_code_ranges(text) if "`" in text or "~" in text else ()
    kept: list[str] = []
    at, offset = 0, 0
    while at < len(lines):
        in_code = any(start <= offset < end for start, end in fenced)
        skip = 0 if in_code else _block_length(lines, at, leading=not any(line.strip() for line in kept))
        if not skip:
            kept.append(lines[at])
            skip = 1
        offset += sum(len(line) + 1 for line in lines[at : at + skip])
        at += skip
    return "\n".join(kept)


def _block_length(lines: list[str], at: int, *, leading: bool) -> int:
    """The number of reasoning lines from `at`: a quote anywhere, or a label with italics at the start (`leading`)."""
    end = at + 1
    if _QUOTED.match(lines[at]):
        while end < len(lines) and lines[end].lstrip().startswith(">"):
            end += 1
        return end - at
    label = _LABEL.match(lines[at])
    if not leading or label is None:
        return 0
    if remainder := lines[at][label.end() :]:
        return 1 if _ITALIC.fullmatch(remainder) else 0
    while end < len(lines) and (_ITALIC.fullmatch(lines[end]) or (end > at + 1 and not lines[end].strip())):
        end += 1
    return end - at if end > at + 1 else 0
