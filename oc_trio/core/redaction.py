"""Masks credentials in a line that will be shown: key=value secrets, bearer tokens, tokens of known formats.

A last safeguard for tool rows and notices; it does not make it safe to log configuration. Every repetition in the
patterns is bounded or anchored, so that a malicious line takes linear time.
"""

import re

MASK = "***"

_PEM = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)
_USERINFO = re.compile(r"(?P<keep>(?<![a-z0-9])[a-z][a-z0-9+.-]{0,20}://)[^\s/@]+@", re.IGNORECASE)
_SCHEME = re.compile(r"\b(?P<keep>(?:bearer|basic|token)\s+)[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE)
_ASSIGNED = re.compile(
    r"""(?P<keep>(?<![A-Za-z0-9])[A-Za-z0-9_-]{0,40}(?:api[_-]?key|access[_-]?key|token|secret|passwd|password|passphrase
        |authorization|cookie|credentials?)["']?(?:\s*[:=]\s*|\s+(?=["'])))
        (?:"[^"]*"|'[^']*'|(?:(?:bearer|basic|token)\s+)?[^\s,;&"']+)""",
    re.IGNORECASE | re.VERBOSE,
)
_FLAG = re.compile(
    r"(?P<keep>--?(?:api-?key|token|secret|password|passwd)[= ])(?:\"[^\"]*\"|'[^']*'|\S+)", re.IGNORECASE
)
# Prefixes that their issuers document: OpenAI and Anthropic, GitHub, GitLab, Slack, AWS, Google, and JWT.
_SHAPES = re.compile(
    r"\b(?:sk-[A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}"
    r"|xox[abprs]-[A-Za-z0-9-]{10,}|AKIA[A-Z0-9]{16}|AIza[A-Za-z0-9_-]{30,}"
    r"|(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*)"
)


def redact(text: str) -> str:
    """`text` with every recognised credential replaced by `***`; its name stays."""
    text = _PEM.sub(MASK, text)
    text = _USERINFO.sub(rf"\g<keep>{MASK}@", text)
    for pattern in (_FLAG, _ASSIGNED, _SCHEME):
        text = pattern.sub(rf"\g<keep>{MASK}", text)
    return _SHAPES.sub(MASK, text)
