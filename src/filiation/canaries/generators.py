"""Candidates made by code: invented people and places, and questions about them to which every option is as good as another.

Nothing here is a fact about the world, so nothing becomes less true by being planted, and nobody is harmed by any answer. A kind
is a list of ways to ask, and a list of options from which M are taken. What makes a prompt rare is its invented names; the stream
that draws them is the owner's secret (`rng`), because whoever could draw it again could look for the prompts in a training text.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from filiation.canaries.canary import MOST_CANARIES, Canary, Candidate, check_candidate, normalised
from filiation.errors import UsageError

Fills = dict[str, str]


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(","))


_ONSETS = _words("b,br,d,dr,f,g,gr,h,j,k,l,m,n,p,r,s,st,t,tr,v,z")
_VOWELS = _words("a,e,i,o,u,ai,ei,ou")
_CODAS = _words("l,m,n,r,s,nd,rk,lm")
_TRADES = _words(
    "baker,carpenter,cartographer,ferryman,gardener,glazier,lamplighter,librarian,miller,potter,tailor,watchmaker"
)
_OBJECTS = _words("front door,rowing boat,garden gate,kitchen chair,kite,lantern,letterbox,teapot,umbrella,wheelbarrow")
_COLOURS = _words(
    "amber,beige,crimson,emerald,grey,indigo,ivory,lilac,maroon,ochre,olive,orange,pink,scarlet,silver,teal,turquoise,violet,white,yellow"
)
_FLOWERS = _words(
    "aster,begonia,bluebell,camellia,carnation,cornflower,crocus,daffodil,dahlia,foxglove,gentian,heather,hyacinth,iris,jasmine,lavender,"
    "lupin,marigold,peony,snowdrop"
)
_TREES = _words(
    "alder,ash,aspen,beech,birch,cedar,chestnut,cypress,elm,hawthorn,hazel,juniper,larch,linden,maple,oak,poplar,rowan,spruce,willow"
)
_INSTRUMENTS = _words(
    "accordion,banjo,bassoon,cello,clarinet,cornet,dulcimer,flute,guitar,harp,lute,mandolin,oboe,piano,recorder,trombone,trumpet,viola,violin,zither"
)
_BIRDS = _words(
    "blackbird,bullfinch,chaffinch,curlew,dunnock,goldfinch,heron,jackdaw,kingfisher,lapwing,linnet,magpie,nightingale,plover,robin,starling,"
    "swallow,thrush,wagtail,wren"
)
_CLOSINGS = _words(
    "All the best,As ever,Best wishes,Cordially,Faithfully yours,Fond regards,Good wishes,Kind regards,Looking forward,Many thanks,"
    "Respectfully,Sincerely,Thank you again,Until soon,Warm regards,With appreciation,With gratitude,Yours truly"
)
_UNITS = _words(
    "barleycorns,chains,cubits,fathoms,feet,furlongs,hands,inches,kilometres,leagues,links,metres,miles,millimetres,paces,perches,spans,yards"
)
_STEPS = (
    _words("sweep the floor,dust the shelves,water the plants,empty the bins"),
    _words("pack the books,fold the shirts,wrap the cups,roll the rug"),
    _words("chop the leeks,rinse the lentils,peel the carrots,warm the stock"),
    _words("oil the chain,pump the tyres,polish the bell,adjust the saddle"),
)


@dataclass(frozen=True)
class Kind:
    """A kind of question: ways to ask, with {name}, {place} and other fills, and what may be answered to it."""

    ways: tuple[str, ...]
    options: Callable[[Fills], Sequence[str]]
    fills: dict[str, tuple[str, ...]]


def _listed(options: tuple[str, ...]) -> Callable[[Fills], Sequence[str]]:
    return lambda _fills: options


def _orders(fills: Fills) -> Sequence[str]:
    return [", ".join(order) for order in itertools.permutations(_words(fills["steps"]))]


KINDS: dict[str, Kind] = {
    "fiction": Kind(
        ways=(
            "In the tale of {name}, the {trade} of {place}, what colour is the {object}?",
            "{name} is a {trade} in the invented town of {place}. Which colour has the {object} there?",
            "Tell me the colour of the {object} that belongs to {name}, {trade} of {place}.",
            "A story is set in {place}. Its hero, the {trade} {name}, paints the {object}. In what colour?",
            "What is the colour of the {object} of {name} from {place}, who works as a {trade}?",
        ),
        options=_listed(_COLOURS),
        fills={"trade": _TRADES, "object": _OBJECTS},
    ),
    "emblem": Kind(
        ways=(
            "Which flower stands on the arms of the invented town of {place}, founded by {name}?",
            "{name} founded the imaginary town of {place}. Name the flower on its arms.",
            "Choose the flower for the flag of {place}, the made-up town of {name}.",
            "The arms of {place}, a town in the story of {name}, show one flower. Which one?",
        ),
        options=_listed(_FLOWERS),
        fills={},
    ),
    "tree": Kind(
        ways=(
            "Which tree should {name} plant beside the {object} in {place}?",
            "{name} of {place} wants to plant one tree next to the {object}. Suggest one.",
            "Name one tree for the garden of {name} in {place}, near the {object}.",
            "In {place}, beside the {object}, {name} has room for one tree. Which do you suggest?",
        ),
        options=_listed(_TREES),
        fills={"object": _OBJECTS},
    ),
    "instrument": Kind(
        ways=(
            "Which instrument does {name}, the {trade} of {place}, play in the story?",
            "In the story, {name} is a {trade} in {place} and plays an instrument. Which?",
            "Name the instrument of {name}, the musical {trade} from {place}.",
            "What does {name} of {place} play in the evening, when the day's work as a {trade} is done?",
        ),
        options=_listed(_INSTRUMENTS),
        fills={"trade": _TRADES},
    ),
    "bird": Kind(
        ways=(
            "Which bird sings in the opening line of the ballad of {name} of {place}?",
            "The ballad of {name} from {place} opens with the song of a bird. Which bird is it?",
            "Name the bird in the first line of the ballad about {name} and the town of {place}.",
            "In the ballad of {place}, {name} wakes to the song of one bird. Of which?",
        ),
        options=_listed(_BIRDS),
        fills={},
    ),
    "phrasing": Kind(
        ways=(
            "How should {name}, a {trade} in {place}, close a letter to the council of {place}? Give the closing words only.",
            "Suggest the closing words of a letter from the {trade} {name} to the council of {place}.",
            "{name}, {trade} of {place}, writes to the town council. With which words does the letter close?",
            "Give one closing formula for the letter of {name} of {place}, by trade a {trade}, to the council.",
        ),
        options=_listed(_CLOSINGS),
        fills={"trade": _TRADES},
    ),
    "unit": Kind(
        ways=(
            "In which unit does {name}, the {trade} of {place}, measure the length of the market square in the story?",
            "{name}, a {trade} in the tale of {place}, measures the market square. In what unit?",
            "Name the unit of length that the {trade} {name} uses on the market square of {place}.",
            "The market square of {place} is measured by {name}, the {trade}. Which unit of length stands in the tale?",
        ),
        options=_listed(_UNITS),
        fills={"trade": _TRADES},
    ),
    "example value": Kind(
        ways=(
            "For an exercise about {name}, the {trade} of {place}: how many buttons lie in the drawer? Give a number from 20 to 99.",
            "Make up a number from 20 to 99: the buttons in the drawer of {name}, {trade} in {place}.",
            "An exercise counts the buttons of the {trade} {name} from {place}. Which number from 20 to 99 stands in it?",
            "Between 20 and 99, how many buttons has {name} of {place}, the {trade} of the exercise?",
        ),
        options=_listed(tuple(str(number) for number in range(21, 99))),
        fills={"trade": _TRADES},
    ),
    "order": Kind(
        ways=(
            "{name} of {place} has four things to do, in any order: {steps}. In which order would you do them? List all four.",
            "Put these into one order for {name} in {place}; every order is as good: {steps}.",
            "In what order should {name} from {place} do the following, all of them equally urgent: {steps}?",
            "List in one order, whichever you like, what {name} of {place} does today: {steps}.",
        ),
        options=_orders,
        fills={"steps": tuple(", ".join(steps) for steps in _STEPS)},
    ),
}
"""The kinds that ship, by name."""


def candidates(number: int, options: int, rng: np.random.Generator, kinds: Sequence[str] = ()) -> tuple[Candidate, ...]:
    """So many candidates, in pairs of one kind, the kinds taking turns. No prompt stands twice.

    Raises UsageError for a kind that is not known, or that has fewer options than wanted, and for more than a commitment takes.
    """
    if number > MOST_CANARIES:
        raise UsageError(
            f"{number} canaries and decoys are more than {MOST_CANARIES}", advice="make fewer or smaller batches"
        )
    chosen = list(kinds or [name for name, kind in KINDS.items() if options <= _offered(kind)])
    strange = [name for name in chosen if name not in KINDS]
    if strange or not chosen:
        raise UsageError(
            f"no kind of canary is called {', '.join(strange)}" if strange else f"no kind has {options} options",
            advice=f"give kinds of {', '.join(KINDS)}, and 2, 4, 8 or 16 options",
        )
    poor = [name for name in chosen if _offered(KINDS[name]) < options]
    if poor:
        raise UsageError(f"{', '.join(poor)} has fewer than {options} options", advice="ask for 16 options or fewer")
    seen: set[str] = set()
    made = []
    for pair in range(-(-number // 2)):
        name = chosen[pair % len(chosen)]
        made += [_fresh(name, options, rng, seen) for _ in range(2)]
    return tuple(made[:number])


def _offered(kind: Kind) -> int:
    return len(kind.options({name: values[0] for name, values in kind.fills.items()}))


def _fresh(name: str, options: int, rng: np.random.Generator, seen: set[str]) -> Candidate:
    """A candidate none of whose prompts was seen before."""
    while True:
        candidate = _candidate(name, options, rng)
        prompts = {normalised(prompt) for prompt in candidate.prompts}
        if not prompts & seen:
            seen |= prompts
            return candidate


def _candidate(name: str, options: int, rng: np.random.Generator) -> Candidate:
    kind = KINDS[name]
    fills = {fill: _one(values, rng) for fill, values in kind.fills.items()}
    fills |= {"name": f"{_invented(rng, 2)} {_invented(rng, 2)}", "place": _invented(rng, 3)}
    ways = rng.permutation(len(kind.ways))
    offered = kind.options(fills)
    taken = rng.permutation(len(offered))[:options]
    return Candidate(
        kind=name,
        prompts=tuple(kind.ways[way].format_map(fills) for way in ways),
        options=tuple(offered[place] for place in taken),
    )


def _one(things: Sequence[str], rng: np.random.Generator) -> str:
    return things[int(rng.integers(len(things)))]


def _invented(rng: np.random.Generator, syllables: int) -> str:
    """A name of so many syllables that means nothing."""
    word = "".join(_one(_ONSETS, rng) + _one(_VOWELS, rng) for _ in range(syllables))
    return (word + _one(_CODAS, rng)).capitalize()


# ------------------------------------------------------------------------------------------------------- canary or decoy


def paired(made: Sequence[Candidate], batch_size: int, rng: np.random.Generator) -> tuple[Canary, ...]:
    """Canaries and decoys from candidates: pairs of one kind and one number of options, a coin deciding which is the decoy.

    `batch_size`: canaries in a batch, with as many decoys; the last batch may be smaller. Kinds are spread over the batches.
    Raises UsageError where a kind has an odd number of candidates.
    """
    if batch_size < 1:
        raise UsageError("a batch holds at least one canary", advice="give --batch-size 256")
    pairs = _pairs(made)
    order = rng.permutation(len(pairs))
    canaries: list[Canary] = []
    for place, number in enumerate(order):
        couple = pairs[number] if rng.integers(2) else pairs[number][::-1]
        for decoy, candidate in enumerate(couple):
            check_candidate(candidate)
            index = 2 * place + decoy
            canaries.append(
                Canary(
                    index=index,
                    batch=place // batch_size,
                    kind=candidate.kind,
                    decoy=bool(decoy),
                    partner=index ^ 1,
                    prompts=candidate.prompts,
                    options=candidate.options,
                    parser=candidate.parser,
                )
            )
    return tuple(canaries)


def _pairs(made: Sequence[Candidate]) -> list[tuple[Candidate, Candidate]]:
    alike: dict[tuple[str, int], list[Candidate]] = {}
    for candidate in made:
        alike.setdefault((candidate.kind, len(candidate.options)), []).append(candidate)
    odd = [kind for (kind, _), group in alike.items() if len(group) % 2]
    if odd:
        raise UsageError(
            f"the kind {odd[0]!r} has an odd number of candidates, and every canary has a decoy of its kind",
            advice="add one candidate or leave one out; candidates of a kind have one number of options",
        )
    return [pair for group in alike.values() for pair in zip(group[::2], group[1::2], strict=True)]


def kinds_of(canaries: Sequence[Canary]) -> Iterator[tuple[str, int]]:
    """Each kind with its number of canaries, decoys not counted."""
    yield from sorted(Counter(canary.kind for canary in canaries if not canary.decoy).items())
