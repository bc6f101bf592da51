"""Recognises messages that only ask to stop, such as "stop" or "please stop", in several languages."""

# OpenClaw's: whoever talked to its bots is used to them, and what stops nothing costs a whole answer.
_ENGLISH = ("stop", "esc", "abort", "cancel", "exit", "interrupt", "halt", "stop it", "stop that", "stop now")
_POLITE = ("please stop", "stop please", "wait stop", "stop run", "stop the run", "stop agent", "stop action")
_ROMANCE = ("arrete", "arrête", "arretez", "arrêtez", "detente", "detén", "para", "pare", "parar", "alto", "fermati")
_GERMANIC = ("stopp", "halt an", "anhalten", "aufhören", "hör auf", "abbrechen", "bitte stoppen", "hou op")
_SLAVIC = ("zatrzymaj", "przestań", "стоп", "остановись", "хватит", "прекрати", "зупинись")
_OTHER = ("dur", "σταμάτα", "توقف", "قف", "रुको", "बंद करो", "停止", "停", "停下", "やめて", "止めて", "ストップ")
_KOREAN = ("멈춰", "그만", "중지")

STOP_PHRASES = frozenset((*_ENGLISH, *_POLITE, *_ROMANCE, *_GERMANIC, *_SLAVIC, *_OTHER, *_KOREAN))

# The last four are full-width and Arabic punctuation marks.
_MARKS = " \t\n.!?,;:…。、\uff01\uff1f\uff0c\u061f"


def is_stop_phrase(text: str) -> bool:
    """Whether the message is only a stop phrase; case, punctuation around it and a leading `/` or `!` don't matter."""
    phrase = " ".join(text.lower().split())
    return phrase.strip(_MARKS).lstrip("/!") in STOP_PHRASES
