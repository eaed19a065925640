"""Dates in words (`24 November 2026`, `24 nov`), read by dateparser."""

import re
from datetime import date, datetime

import dateparser

_WITH_A_MONTH = re.compile(
    r"[a-z0-9 ,.]*\b(jan|feb|mar|apr|may|june?\b|july?\b|aug|sept?|oct|nov|dec)[a-z0-9 ,.]*"
)


def parse(text: str, now: datetime) -> date | None:
    """The day, in the year of `now` if the text names none; None for anything without a day and a month.

    dateparser guesses: `2 days` is two days ago to it, `32 november` one of 2032. Asking for a month's name
    and for both parts (REQUIRE_PARTS) keeps it from that.
    """
    if not _WITH_A_MONTH.fullmatch(text):
        return None
    settings = {
        "RELATIVE_BASE": now,
        "PREFER_DATES_FROM": "current_period",
        "REQUIRE_PARTS": ["day", "month"],
    }
    found = dateparser.parse(text, languages=["en"], settings=settings)
    return found.date() if found else None
