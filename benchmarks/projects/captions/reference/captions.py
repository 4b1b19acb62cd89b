_SMALL = {"a", "an", "and", "of", "the", "in", "on", "to"}


def title_case(text):
    words = text.lower().split()
    last = len(words) - 1
    return " ".join(w if w in _SMALL and 0 < i < last else w.capitalize() for i, w in enumerate(words))


def shorten(text, width):
    if len(text) <= width:
        return text
    words = text.split()
    while words:
        words.pop()
        rest = " ".join(words)
        if words and len(rest) + 3 <= width:
            return rest + "..."
    return text[:width]


def initials(name):
    return "".join(word[0].upper() + "." for word in name.split())
