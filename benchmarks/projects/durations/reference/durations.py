import re

_PATTERN = re.compile(r"\s*(?:(\d+)d)?\s*(?:(\d+)h)?\s*(?:(\d+)m)?\s*(?:(\d+)s)?\s*", re.IGNORECASE)
_SECONDS = (86400, 3600, 60, 1)


def parse_duration(text):
    match = _PATTERN.fullmatch(text)
    if not match or not any(match.groups()):
        raise ValueError("bad duration")
    return sum(int(number or 0) * size for number, size in zip(match.groups(), _SECONDS))


def format_duration(seconds):
    if seconds < 0:
        raise ValueError("negative duration")
    parts = []
    for size, unit in zip(_SECONDS, "dhms"):
        number, seconds = divmod(seconds, size)
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts) or "0s"


def total(texts):
    return format_duration(sum(parse_duration(text) for text in texts))
