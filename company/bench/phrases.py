"""Ways of saying the same, and sentences that say nothing about a program; data for `vary.py`.

Every pair must hold in any requirement: where a word has a second meaning, the pattern takes in what is around it. `an integer` and `a
whole number` are no pair: 4.0 is one of them. No pattern fits what `formats.py` and `folders.py` put around a set's own text, for a
task of which that alone were said otherwise would be the same task.
"""

from __future__ import annotations

_THINGS = "element|item|line|word|number|character|value|key|row|name|string|pair|list|digit|file|letter|task|user|column|field|entry"
_TAKEN = "list|string|number|integer|float|array|dictionary|tuple|sequence|set|argument|parameter|input"

SYNONYMS: tuple[tuple[str, str], ...] = (
    (r"\bfor example\b", "for instance"),
    (r"\bfor instance\b", "for example"),
    (r"\bin order to\b", "to"),
    (r"\bat least\b(?= \W)", "no less than"),
    (r"\bat most\b(?= \W)", "no more than"),
    (r"\bno more than\b", "at most"),
    (r"\bno less than\b", "at least"),
    (r"\bgreater than or equal to\b", "at least"),
    (r"\bless than or equal to\b", "at most"),
    (r"\bis equal to\b(?! or\b)", "equals"),
    (r"\bbegin with\b", "start with"),
    (r"\bbegins with\b", "starts with"),
    (r"\bstart with\b", "begin with"),
    (r"\bstarts with\b", "begins with"),
    (rf"\beach (?=(?:{_THINGS})\b)", "every "),
    (rf"\bevery (?=(?:{_THINGS})\b)", "each "),
    (r"\ball of the\b", "all the"),
    (r"\bshould (?=return|print|be|have|raise|contain|accept|work|take)", "must "),
    (r"\blarger\b", "bigger"),
    (r"\blargest\b", "biggest"),
    (r"\bbiggest\b", "largest"),
    (r"\bconsisting of\b", "made up of"),
    (r"\bconsists of\b", "is made up of"),
    (r"\b(the|a) given\b", r"\1 supplied"),
    (r"\bgiven (?=(?:list|string|number|array|threshold|dictionary|tuple|sequence|set)\b)", "supplied "),
    (r"(?<=[.!?;] )otherwise\b", "in every other case"),
    (r"\breturns (?=(?:the|a|an|all|true|false)\b)", "gives back "),
    (r"\breturn (?=(?:the|a|an|all) (?!values?\b|types?\b))", "give back "),
    (rf"\btakes (?=(?:a|an|one|two|three) (?:[\w-]+ )?(?:{_TAKEN})s?\b(?! (?:from|out|away|off)\b))", "accepts "),
    (r"\bcheck if\b", "determine whether"),
    (r"\bcheck whether\b", "determine whether"),
    (r"\bfind the\b", "determine the"),
    (r"\bcalculates?\b(?<=e)", "compute"),
    (r"\bcalculates\b", "computes"),
    (r"\bcomputes\b", "calculates"),
    (r"\bcompute\b", "calculate"),
    (r"\bwrite a (python )?(function|class|program|module)\b", r"implement a \1\2"),
    (r"\bcreate a (python )?(function|class|program|module)\b", r"write a \1\2"),
    (r"\bimplement a (python )?(function|class|program|module)\b", r"write a \1\2"),
)
"""Pattern → what means the same. A capital at the beginning stays one. What stands for itself is one letter that is no word's."""

CONDITION = (
    r"(?:^|(?<=[.!?] )|(?<=[.!?]\n))If ((?:(?!\b(?:not|so)\b[,.])[^.,;:!?()]){3,90}), "
    r"(?!then\b)((?:(?!\b(?:and|or|but|unless|otherwise|it|they)\b)[^.,;:!?()]){3,90})\."
)
"""``If A, B.``, which is ``B if A.``"""

ASIDES: tuple[str, ...] = (
    "The person who asked for this works in another building.",
    "A colleague will look at it later in the week.",
    "The team has had a good month.",
    "This came up over lunch.",
    "The request was written down by hand before anybody typed it.",
    "Somebody else keeps the calendar of the project.",
    "The office moved to another street in spring.",
    "A meeting about something else follows this one.",
    "The people involved have known one another for years.",
    "The weather was fine when this was written.",
    "Nobody in the team owns a printer.",
    "The coffee machine on this floor has been repaired.",
    "Most of the team comes to work by bicycle.",
    "The room in which this was discussed has two windows.",
)
"""Sentences that are true of some office and of no program: no numbers but words, no names, nothing of input or output."""

BOUND = (
    r"\b(?:it|its|they|them|their|this|that|these|those|then|there|such|also|otherwise|else|instead|now|again|still|same|above|below|"
    r"following|follows|former|latter|previous|next|first|second|third|last|final|finally|before|after|however|but|so|both|other|"
    r"another|too|here|again|step|steps|later|earlier|already|remaining|rest|e\.g|example|instance)\b"
)
"""Words by which a sentence may hang on the one before it, or say something about the order."""

_VERBS = (
    "accept|add|allow|append|apply|ask|assign|average|begin|break|build|calculate|call|capitalize|change|check|clear|close|collect|"
    "combine|compare|compute|concatenate|convert|copy|count|create|cut|decode|decrease|decrement|define|delete|determine|discard|"
    "display|divide|do|double|drop|emit|encode|end|ensure|exclude|exit|extract|fill|filter|find|flatten|flip|format|generate|get|give|"
    "go|group|handle|ignore|implement|include|increase|increment|index|initialize|insert|invert|join|keep|leave|let|list|load|look|"
    "lower|make|map|mark|match|merge|mod|move|multiply|negate|normalize|omit|open|order|output|pad|parse|pass|perform|pick|pop|"
    "prepend|print|process|produce|push|put|raise|read|receive|record|reduce|reject|remove|rename|repeat|replace|report|reset|"
    "return|reverse|rotate|round|run|save|scale|search|select|send|set|shift|show|skip|sort|split|square|start|stop|store|strip|"
    "subtract|sum|swap|take|throw|transform|translate|treat|trim|truncate|turn|update|upper|use|validate|verify|walk|wrap|write|yield"
)
_LEADS = "please|also|and|or|only|always|never|not|do not|don't|just|simply|you|it|must|should|shall|will|can|may"
STEP = (
    rf"[^\w]*(?:(?:{_LEADS})\s+)*(?:(?:if|when|for|unless|in|on|to|with|from|while|where)\b[^.]*,\s*(?:(?:{_LEADS})\s+)*)?"
    rf"(?:(?:{_VERBS})(?:e?s|ing)?|multiplies|copies|applies|then|first|firstly|second|secondly|third|thirdly|fourth|fifth|"
    r"next|last|lastly|final|finally|after|afterwards|before|once|until|later|subsequently|meanwhile)\b"
)
"""How a sentence or an entry of a list begins that is something to do, or says when: in another order it is another program."""
