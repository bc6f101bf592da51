"""Normalises error texts of model servers, so that patterns can be searched in them. Pure."""

import re


def plain(words: str) -> str:
    """Lower case, one blank between words, apostrophes only within them."""
    return re.sub(r"(?:[^\w'-]|(?<!\w)'|'(?!\w))+", " ", words.lower().replace("\u2019", "'"))


def flat(words: str) -> str:
    """Lower case, without quotes, one blank between words."""
    return " ".join(re.sub(r"['\"`*]", "", words.lower().replace("\u2019", "'")).split())
