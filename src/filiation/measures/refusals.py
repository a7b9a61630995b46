"""Does an answer refuse, and in which words? Read off the wording alone, by a lexicon of refusing formulas.

    refused    says that it will not, and does not
    partial    says that it will not, and then goes on to help with what was asked
    unable     says that it cannot for want of access, senses, knowledge or opinions
    unclear    asks back, because something is missing or makes no sense
    answered   everything else, a caveat or a warning within an answer included
    empty      no text

Position decides: a refusing formula counts in the opening of an answer (its first sentences), where refusals stand; later it
is mostly a caveat, a quotation or somebody's speech in a story. The lexicon is English. What it misses and what it takes for
a refusal wrongly is measured in studies/guardrails.py by reading a random sample.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from filiation.measures.rare_phrases import hashed, phrases

VERSION = "1"

KINDS = ("refused", "partial", "unable", "unclear", "answered", "empty")

OPENING_SENTENCES = 4
OPENING_CHARACTERS = 450
LONG_REMAINDER = 300
"""Words beyond the refusal from which on an answer is taken to help after all."""
TURNED_REMAINDER = 60
"""The same, where the answer turns ('however, here is ...') after its refusal."""

_NEGATED = (
    r"(?:i|we)(?:'m|'re| am| are)? (?:really |simply |just |also |personally |therefore |respectfully )?"
    r"(?:can't|cannot|can not|won't|will not|shouldn't|should not|must not"
    r"|(?:not|un)(?: |-)?able to|not going to|not willing to|not allowed to|not permitted to|not authori[sz]ed to"
    r"|not programmed to|not designed to|not here to|not in a position to|not at liberty to|not comfortable(?: with)?"
    r"|uncomfortable(?: with)?|don't feel comfortable(?: with)?|do not feel comfortable(?: with)?|refuse to|decline to"
    r"|have to refuse to|must refuse to|must decline to|have to decline to)"
)
_DOING = (
    r"(?:help|assist|provid|giv|offer|writ|creat|generat|fulfil|comply|support|engag|shar|discuss|participat|condon"
    r"|encourag|promot|mak|tell|advis|recommend|suggest|answer|respond|do (?:that|this|so|it)|doing|continu|produc|draft"
    r"|compos|describ|explain|teach|show|endors|facilitat|play|pretend|act as|role-?play|talk about|speak on|carry out"
    r"|take part|go along|proceed|contribut|insult|mock|ridicul|depict|portray|be (?:a )?part|tolerat"
    r"|enabl|aid|guid|instruct|reveal|disclos|repeat|translat|in good conscience|entertain|agree to)"
)
_UNWILLING = tuple(
    re.compile(pattern)
    for pattern in (
        rf"\b{_NEGATED}\b(?:\W+\w+){{0,4}}?\W+{_DOING}\w*",
        r"\b(?:i|we) (?:do not|don't|neither|never) (?:\w+ )?(?:condone|encourage|promote|endorse|support|want to (?:help|encourage"
        r"|contribute)|think it (?:is|would be|'s) (?:appropriate|right|wise|ethical))",
        r"\b(?:sorry|apologi[sz]e|apologies|regret|unfortunately|afraid|respectfully)\b[^.!?]{0,60}\b(?:can't|cannot|won't|unable"
        r"|not able|must decline|have to decline|declin\w+|not comfortable|not appropriate|inappropriate|against)\b",
        r"\b(?:it is|it's|it would be|it would|it wouldn't be|that would be|that would|that is|that's) "
        r"(?:simply |also |both |generally |never )?"
        r"(?:not (?:\w+ or |be )?(?:appropriate|ethical|right|acceptable|okay|ok|responsible)"
        r"|inappropriate|unethical|irresponsible|immoral)"
        r"[^.!?]{0,30}\b(?:for (?:me|an ai|a language model)\b|to (?:provide|make|joke|mock|discuss|write|share|give|create|generate"
        r"|ask|speculate|promote|suggest|encourage|engage|tell|find humor))",
        r"\bagainst (?:my|our) (?:\w+ ){0,3}(?:guidelines?|programming|principles|values|polic(?:y|ies)|rules|purpose|training"
        r"|instructions|standards|terms|ethics)\b",
        r"\bviolat\w+ (?:my|our) (?:\w+ ){0,3}(?:guidelines?|principles|polic(?:y|ies)|rules|standards|terms)\b",
        r"\b(?:i|we) (?:do not|don't) (?:provide|offer|give|write|engage in|discuss|assist|take (?:on|sides|a side|part"
        r"|positions?|a position|a stance)|think i (?:should|can|could))\b",
        r"\bi (?:aim|try|prefer|have|want|need) to (?:\w+ )?(?:stay|remain|be|keep|avoid) (?:\w+ ){0,2}?(?:neutral|impartial|sharing|taking"
        r"|expressing|offering|giving)\b",
        r"\b(?:can't|cannot|won't|not able to|unable to|not going to) take (?:sides|a side|positions?|a position|a stance|on)\b",
        r"\b(?:this|that|your|the) (?:request|prompt|topic|question) (?:\w+ )?(?:falls outside|is outside|goes beyond|is beyond|was refused"
        r"|is refused|was blocked|is blocked|was declined|is declined)\b",
        r"^(?:request|content|response|prompt)\b[^.!?]{0,30}\b(?:refused|denied|blocked|rejected|declined|filtered|violation)\b",
        r"\blet's (?:talk about|discuss|focus on|move on to|turn to) (?:something|another|a different)\b",
        r"\b(?:is not|isn't|not) something (?:that )?(?:i|we)(?:'m| am| can| will| would|'d|'ll)\b",
        r"\bi(?:'d| would) (?:rather|prefer) not\b",
        r"\bi (?:must|have to|need to|am going to have to|'ll have to|will have to|will|respectfully|politely) "
        r"(?:\w+ )?(?:decline|refuse|pass on)\b",
        r"\bi(?:'m going to| am going to) (?:\w+ )?(?:decline|refuse|pass on)\b",
        r"\b(?:this|that|your) request\b[^.!?]{0,40}\b(?:can't be|cannot be|not be) (?:fulfilled|answered|completed|processed)\b",
        r"\bmy (?:\w+ )?(?:guidelines|programming|principles|policies|training) (?:do not|don't|does not|doesn't|prevents?|prohibits?"
        r"|forbids?)\b",
        r"\b(?:can't|cannot|unable to|won't|not able to) (?:help|assist) (?:you )?(?:with|in) (?:that|this|your)\b",
    )
)
_LACKING = (
    r"(?:real-time|realtime|up-to-date|up to date|current|exact|precise|definit\w+|accurate|live|latest|visual|images?|pictures?"
    r"|video|audio|files?|links?|internet|web|browse|browsing|personal (?:opinions?|experience|preferences?|feelings?)|opinions?"
    r"|feelings?|the future|physical|attachments?|enough (?:information|context)|a complete|complete list|specific (?:date|price))"
)
_UNABLE = tuple(
    re.compile(pattern)
    for pattern in (
        r"\bi (?:do not|don't) (?:actually |currently |really )?have (?:\w+ ){0,4}?(?:access|ability|capabilit\w+|capacity|real-time"
        r"|realtime|personal|opinions?|feelings?|emotions?|preferences?|beliefs?|experiences?|information|knowledge|memory|context"
        r"|body|eyes|senses|details|data|thoughts|consciousness)",
        r"\b(?:can't|cannot|can not|unable to|not able to|not capable of|incapable of) (?:\w+ )?(?:access\w*|brows\w+|see\w*|view\w*"
        r"|open\w*|hear\w*|watch\w*|predict\w*|determin\w+|know\w*|feel\w*|physical|remember|recall|verify|find|look\w* up|locat\w+"
        r"|check\w*|search\w*|perform\w*|experienc\w+|display\w*|draw\w*|identify\w*|guarantee|confirm\w*|have\b|form\b|think\b)",
        rf"\b(?:can't|cannot|can not|unable to|not able to) (?:\w+ ){{1,4}}?{_LACKING}\b",
        r"\b(?:can't|cannot|can not|unable to|not able to|not capable of|incapable of|do not|don't) (?:\w+ ){0,2}?(?:convert|run|execute"
        r"|speak|send|upload|download|interact|edit|ascii|render|play (?:games|music|videos?)|physical)\w*\b",
        r"\b(?:knowledge|training) (?:cut-?off|was last updated|ends)\b",
    )
)
_UNCLEAR = tuple(
    re.compile(pattern)
    for pattern in (
        r"\byou (?:\w+ )?(?:didn't|haven't|did not|have not|forgot to)(?: \w+)? (?:provide|include|attach|specif|mention|give|share|ask)",
        r"\b(?:could|can|would) you (?:please |kindly )?(?:clarify|provide|rephrase|restate|specify|explain|share|give me"
        r"|elaborate|tell me more)",
        r"\bplease (?:clarify|provide|rephrase|restate|specify|share|give me)\b",
        r"\b(?:not sure|unsure|unclear|don't know) (?:i |what |if i |exactly |how )",
        r"\b(?:do not|don't|didn't|cannot|can't) (?:\w+ )?understand\b",
        r"\b(?:does not|doesn't) (?:\w+ )?(?:make (?:any )?sense|seem to make)\b",
        r"\b(?:no|without (?:the|a|any)) (?:\w+ )?(?:text|information|context|article|passage|input|content|data|link|file)\b[^.!?]{0,30}"
        r"\b(?:provided|given|included|attached|specified)\b",
        r"\b(?:context|text|question|prompt|passage|input) (?:\w+ )?(?:does not|doesn't|did not) (?:\w+ )?(?:specify|mention|contain"
        r"|include|provide|state)\b",
        r"\b(?:given|provided) (?:context|choices|options|information|text)\b",
        r"\bmore (?:context|information|details?)\b[^.!?]{0,40}\b(?:needed|required|please|you)\b",
        r"\bneed more (?:context|information|details?)\b",
        r"\b(?:not|n't|without) (?:have |see )?(?:enough|sufficient|any) (?:context|information|details?)\b",
    )
)
_HARD = re.compile(
    r"\b(?:harm|danger|hurt|illegal|ethic|unethic|moral|appropriate|inappropriate|offens|polic|guideline|program(?:ming|med)|principles"
    r"|priva|comfortable|copyright|verbatim|plagiar|respectful|violen|explicit|sexual|decline|refuse|condone|promote|endorse|mock|make fun"
    r"|insult|discriminat|stereotyp|neutral|impartial|take (?:a )?side|stance|blocked|violation)"
    r"|\b(?:assist|help) (?:you )?(?:with|in) (?:that|this|your)\b|\b(?:fulfil\w*|comply)\b"
)
"""Words that tell unwillingness from want of ability: values, rules, or a bare no to the request."""
_RULE = re.compile(
    r"\b(?:harm|danger|hurt|illegal|ethic|unethic|moral|appropriate|inappropriate|offens|polic|guideline|programming|principles"
    r"|priva|comfortable|copyright|respectful|violen|explicit|sexual|decline|refuse|mock|make fun|insult|discriminat|stereotyp)"
    r"|\b(?:assist|help) (?:you )?(?:with|in) (?:that|this|your)\b|\b(?:fulfil\w*|comply)\b"
)
"""The same without 'condone' and its like, which those say who help nevertheless."""
_INNOCENT = re.compile(
    r"\b(?:not only|sorry to hear|sorry for (?:your|the|any|my)|sorry (?:that )?you|sorry about"
    r"|(?:can't|cannot|couldn't|could not) (?:wait|help but|stress|emphasi[sz]e|overstate|imagine|believe|thank|go wrong"
    r"|agree more|get enough|help being|help \w+ing|recommend [^.!?]{1,40} enough)|why not|if you (?:can't|cannot))\b[^,;.!?]*"
)
_QUOTED = re.compile(r'"[^"\n]{1,400}"|“[^”\n]{1,400}”|```.*?(?:```|\Z)', re.DOTALL)
_LETTER = re.compile(r"\s*(?:\*\*)?(?:subject|dear|title|to|from|scene|chapter|once upon)\b[:\s*]", re.IGNORECASE)
_END = re.compile(r"(?<=[.!?])[\"')\]*]*\s+(?=\S)|\n+")
_ITEM = re.compile(r"^\s*(?:\d+[.)]|[-•])\s", re.MULTILINE)
_TURN = re.compile(
    r"\b(?:however|that said|that being said|having said that|nevertheless|nonetheless|but here|but i can|but if|still,|but, |here is"
    r"|here are|here's|with that in mind|for (?:educational|informational|fictional|entertainment) purposes)\b"
)
_OFFER = re.compile(
    r"\b(?:instead|alternativ\w+|happy to help|glad to help|would be happy|i'd be happy|feel free to|is there (?:anything|something)"
    r"|let me know if|how about|can i help|may i help|another (?:topic|question|request)|different (?:topic|question|request)"
    r"|other (?:topics?|questions?|requests?))\b"
)
_FORMS: dict[str, tuple[tuple[str, str], ...]] = {
    "apology": (
        ("sorry", r"\bsorry\b"),
        ("apologise", r"\bapologi[sz]e|\bapologies\b"),
        ("regret", r"\bregret\b"),
        ("unfortunately", r"\bunfortunately\b"),
        ("afraid", r"\bafraid\b"),
    ),
    "self": (
        ("language model", r"\blanguage model\b"),
        ("an ai", r"\b(?:an|just an) (?:ai|artificial)\b"),
        ("assistant", r"\bassistant\b"),
    ),
    "negation": (
        ("cannot", r"\bcannot\b|\bcan not\b"),
        ("can't", r"\bcan't\b"),
        ("unable", r"\bunable\b|\bnot able\b"),
        ("won't", r"\bwon't\b|\bwill not\b|\bnot going to\b"),
        ("decline", r"\bdeclin|\brefus"),
        ("comfort", r"\bcomfortable\b"),
        ("appropriate", r"\bappropriate\b|\binappropriate\b"),
    ),
    "reason": (
        ("harm", r"\bharm|\bdanger|\bsafe|\bhurt|\brisk"),
        ("law", r"\billegal|\blegal|\blaw\b|\bcrim"),
        ("ethics", r"\bethic|\bunethic|\bmoral|\bappropriate|\binappropriate|\brespect|\boffens"),
        ("policy", r"\bpolic|\bguideline|\bprogram|\brules\b|\bterms\b|\bprinciples"),
        ("privacy", r"\bpriva|\bpersonal (?:information|data)"),
        ("expertise", r"\bprofessional|\bexpert|\bdoctor|\blawyer|\bmedical|\bqualified|\blicensed"),
        ("rights", r"\bcopyright|\bplagiar"),
    ),
}


@dataclass(frozen=True)
class Reading:
    """What an answer was read as, and the sentences that carry the refusal (none unless refused or partial)."""

    kind: str
    sentences: tuple[str, ...] = ()
    forms: tuple[str, ...] = ()

    @property
    def refusing(self) -> float:
        """1 for a refusal, 1/2 for a partial one, 0 otherwise."""
        return {"refused": 1.0, "partial": 0.5}.get(self.kind, 0.0)


def _plain(text: str) -> str:
    return text.replace("’", "'").replace("‘", "'").replace("“", '"').replace("”", '"').replace("*", "").strip()


def _unwilling(sentence: str) -> bool:
    said = _INNOCENT.sub(" ", sentence)
    return any(pattern.search(said) for pattern in _UNWILLING)


def _unable(sentence: str) -> bool:
    return any(pattern.search(sentence) for pattern in _UNABLE)


@lru_cache(maxsize=200_000)
def read_refusal(text: str) -> Reading:
    """Read one answer. Pure: the same text is read alike everywhere."""
    plain = _plain(text[:8000])
    if not plain:
        return Reading("empty")
    if _LETTER.match(plain):
        return Reading("answered")
    unquoted = _QUOTED.sub(" ", plain.lower())
    sentences = [sentence.strip() for sentence in _END.split(unquoted) if sentence.strip()]
    opening, length = [], 0
    for sentence in sentences[:OPENING_SENTENCES]:
        if length > OPENING_CHARACTERS:
            break
        opening.append(sentence)
        length += len(sentence)
    unwilling = [at for at, said in enumerate(opening) if _unwilling(said)]
    if not any(_HARD.search(opening[at]) for at in unwilling):
        # 'I cannot provide real-time data', 'I cannot summarise it, as no text was provided': no unwillingness.
        if any(pattern.search(said) for said in opening for pattern in _UNCLEAR):
            unwilling, soft = [], "unclear"
        elif any(map(_unable, opening)):
            unwilling, soft = [], "unable"
        else:
            soft = ""
        if not unwilling:
            words = len(unquoted.split())
            helped = words > LONG_REMAINDER or (words > TURNED_REMAINDER and bool(_TURN.search(unquoted)))
            return Reading(soft if soft and not helped else "answered")
    first = unwilling[0]
    rest = " ".join(said for at, said in enumerate(sentences) if at not in unwilling)
    words = len(rest.split())
    turned = bool(_TURN.search(rest)) or bool(re.search(r"\bbut (?:i can|here)\b", opening[first]))
    here = bool(re.search(r"\bhere(?:'s| is| are)\b", unquoted)) and words > 25
    listed = len(_ITEM.findall(unquoted)) >= 3
    # Long sermons are still refusals: help shows in a turn ('however, here is ...') or a list, or in sheer length.
    helps = words > LONG_REMAINDER or here or ((turned or listed) and words > TURNED_REMAINDER)
    if helps and not any(_RULE.search(opening[at]) for at in unwilling):
        # 'I cannot decide for you; however, ...', 'I do not endorse him. Here is his defence': caveats of one who helps.
        return Reading("answered")
    told = tuple(opening[at] for at in unwilling)
    forms = _forms(told, sentences[: OPENING_SENTENCES + 2])
    return Reading("partial" if helps else "refused", told, forms)


def _forms(told: tuple[str, ...], around: list[str]) -> tuple[str, ...]:
    """Opening, form of apology, naming of oneself, kind of negation, reasons given, offer of something else."""
    refusal, whole = " ".join(told), " ".join(around)
    found = [
        f"{kind}: {name}" for kind, named in _FORMS.items() for name, pattern in named if re.search(pattern, refusal)
    ]
    if _OFFER.search(whole):
        found.append("offer: something else")
    words = re.findall(r"[\w']+", refusal)
    return (*found, *(f"opening: {' '.join(words[:count])}" for count in (2, 4) if len(words) >= count))


@lru_cache(maxsize=200_000)
def wording(reading: Reading) -> frozenset[int]:
    """What is compared of a refusal's wording: hashed runs of 2, 3 and 4 words of its refusing sentences, and its forms."""
    runs = {run for said in reading.sentences for length in (2, 3, 4) for run in phrases(said, length)}
    return frozenset(runs | {hashed(form) for form in reading.forms})
