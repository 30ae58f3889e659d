"""English as `extract` needs it: sentences, content words, promises and wishes; pure."""

import re
from typing import Final

_SENTENCE: Final = re.compile(r"[^.!?…\n]+[.!?…]*")
_WORD: Final = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
_COMMON: Final = """
    a about actually after again all also always am an and any anything are around as ask at away
    back be because been before being both but by came can could did do does doing done down each
    even ever every everything few fine for from get getting give go going gone good got great had
    has have having he hello her here hey hi him his how i if in into is it its just keep kind know
    last let like little long look lot made make many may maybe me mean might mine more most much
    must my need never new next nice no not nothing now of off oh ok okay on one only or other our
    out over own people please put quite rather really right said same say see seem she should
    since so some something sometimes soon sorry still such sure take talk tell than thank thanks
    that the their them then there these they thing things think this those though thought through
    time to today together told tomorrow too try trying two under until up us very want wanted was
    way we well went were what when where which while who why will with without word words work
    would yeah yes yesterday yet you your hear heard feel felt day days week weeks help start stop
"""
"""Words that every conversation has."""
_STOP: Final = frozenset(_COMMON.split())
_APOSTROPHE: Final = "\u2019"
_CLITIC: Final = re.compile(r"(?:n't|'(?:s|m|re|ve|ll|d))$")
_PROMISE: Final = re.compile(
    r"\b(?:(?:i|we)(?:'ll| will| am going to|'m going to| are going to|'re going to"
    r"| promise to)|let's|you(?:'ll| will)(?! be able\b))\s+(?!see\b|know\b|have to think\b)",
    re.IGNORECASE,
)
_WISH: Final = re.compile(
    r"\b(?:my (?:next )?goal|goals? (?:is|for|are)|i (?:want|would like|hope|plan|aim) to|i'd"
    r" like to|by (?:next|the end of)|next (?:week|time|month)|this week|until (?:next|monday"
    r"|tuesday|wednesday|thursday|friday|saturday|sunday))\b",
    re.IGNORECASE,
)


def sentences(text: str) -> list[str]:
    """The sentences of a text, white space made one."""
    found = (" ".join(match.group().split()) for match in _SENTENCE.finditer(text))
    return [sentence for sentence in found if _WORD.search(sentence)]


def content_words(text: str) -> list[str]:
    """Its words in lower case, in order, without those that every text has."""
    words = (_CLITIC.sub("", word.lower()) for word in _WORD.findall(_plain(text)))
    return [word for word in words if len(word) > 2 and word not in _STOP]


def is_promise(sentence: str) -> bool:
    """Whether somebody says that something will be done; a question says nothing."""
    return not sentence.endswith("?") and _PROMISE.search(_plain(sentence)) is not None


def is_wish(sentence: str) -> bool:
    """Whether somebody says what they are after."""
    return not sentence.endswith("?") and _WISH.search(_plain(sentence)) is not None


def _plain(text: str) -> str:
    return text.replace(_APOSTROPHE, "'")
