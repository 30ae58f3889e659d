"""Counts word errors between what was said and what was heard, plainly and with spellings levelled.

`plain_words` only folds case, punctuation and single figures. `level_words` also writes the same
words the same way, in both texts: signs ("#" is "pound", "%" "percent"), numbers ("twenty one" is
"21", "2nd" "second"), contractions ("I'm" is "I am"), a dozen spellings ("colour", "ok"), and
words that are written together or apart ("voice mail", "log in"). It changes no word for another
that sounds different.
"""

import re
from collections.abc import Iterator
from typing import Final

DIGITS: Final = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TEENS: Final = (
    *("ten", "eleven", "twelve", "thirteen", "fourteen"),
    *("fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
TENS: Final = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
ORDINALS: Final = {"1st": "first", "2nd": "second", "3rd": "third", "4th": "fourth", "5th": "fifth"}
SIGNS: Final = {"#": "pound", "*": "star", "%": "percent", "&": "and", "@": "at", "+": "plus"}
CONTRACTIONS: Final = {
    "i'm": "i am",
    "can't": "can not",
    "cannot": "can not",
    "won't": "will not",
    "shan't": "shall not",
    "let's": "let us",
    "it's": "it is",
    "that's": "that is",
    "there's": "there is",
    "here's": "here is",
    "what's": "what is",
    "who's": "who is",
    "where's": "where is",
    "he's": "he is",
    "she's": "she is",
}
ENDINGS: Final = (("n't", " not"), ("'re", " are"), ("'ve", " have"), ("'ll", " will"))
SPELLINGS: Final = {
    "ok": "okay",
    "colour": "color",
    "favourite": "favorite",
    "centre": "center",
    "cancelled": "canceled",
    "dialled": "dialed",
    "dialling": "dialing",
    "mr": "mister",
    "mrs": "missus",
    "dr": "doctor",
    "vs": "versus",
    "alright": "all right",
}
TOGETHER: Final = {
    ("voice", "mail"): "voicemail",
    ("e", "mail"): "email",
    ("log", "in"): "login",
    ("any", "one"): "anyone",
    ("every", "one"): "everyone",
    ("web", "site"): "website",
    ("on", "line"): "online",
}


def plain_words(text: str) -> list[str]:
    """Return the words of a text in lower case, without punctuation, single figures spelled."""
    text = text.lower().replace("#", " pound ").replace("*", " star ")
    text = re.sub(r"\d", lambda digit: f" {DIGITS[int(digit[0])]} ", text)
    return re.findall(r"[a-z']+", text)


def level_words(text: str) -> list[str]:
    """Return the words of a text, each written in the one way that this module has for it."""
    text = text.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    for sign, word in SIGNS.items():
        text = text.replace(sign, f" {word} ")
    text = re.sub(r"(?<=\d),(?=\d{3})", "", text)
    found = re.findall(r"\d+(?:st|nd|rd|th)?|[a-z']+", text)
    written = " ".join(_written(word.strip("'")) for word in found).split()
    return list(_together(list(_numbers(written))))


def _written(word: str) -> str:
    for table in (ORDINALS, CONTRACTIONS, SPELLINGS):
        if word in table:
            return table[word]
    for ending, words in ENDINGS:
        if word.endswith(ending):
            return word.removesuffix(ending) + words
    return word


def _numbers(words: list[str]) -> Iterator[str]:
    """Write numbers below a hundred as figures, digit by digit: "twenty one" and "21" as 2, 1."""
    at = 0
    while at < len(words):
        word, following = words[at], words[at + 1] if at + 1 < len(words) else ""
        at += 1
        if word in TENS:
            tens = TENS.index(word) + 2
            ones = DIGITS.index(following) if following in DIGITS[1:] else 0
            at += ones > 0
            yield from str(10 * tens + ones)
        elif word in TEENS:
            yield from str(10 + TEENS.index(word))
        elif word in DIGITS:
            yield str(DIGITS.index(word))
        else:
            yield from word if word.isdigit() else (word,)


def _together(words: list[str]) -> Iterator[str]:
    at = 0
    while at < len(words):
        pair = tuple(words[at : at + 2])
        at += 1 + (pair in TOGETHER)
        yield TOGETHER[pair] if len(pair) == 2 and pair in TOGETHER else pair[0]


def word_errors(said: list[str], heard: list[str]) -> int:
    """Count the words put in, left out or exchanged, at the least."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(said, 1):
        above, row[0] = row[0], i
        for j, other in enumerate(heard, 1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (word != other))
    return row[-1]
