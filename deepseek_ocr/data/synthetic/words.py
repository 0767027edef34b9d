"""English sentences without end: a list of common words, rules that inflect them, made-up words.

Each list runs from frequent to rare, and is drawn from in that proportion. The lists were written
for this project; no corpus is quoted.
"""

from __future__ import annotations

import random
from collections.abc import Sequence


def word_list(text: str) -> tuple[str, ...]:
    """The words of a block of text."""
    return tuple(text.split())


NOUNS = word_list("""
time year way day man thing woman life child world school state family student group
country problem hand part place case week company system program question work government number
night point home water room mother area story fact month lot right study book eye job word
business issue side kind head house service friend father power hour game line end member law car
city community name president team minute idea body back parent face level office door
person art war history party result change morning reason girl moment air
teacher foot boy age policy music market sense nation plan college interest journal
experience effect class control field development role effort rate heart show leader light
voice wife mind price report decision son view relationship town road arm difference value
building action season society tax director position player record paper space ground form event
matter center couple site project activity star table need court oil situation cost industry
figure street image phone picture practice piece land product doctor wall worker test movie
north love support step baby computer type film tree source organization
letter garden bridge river winter summer machine engine museum ticket library kitchen harbour
invoice address signature station journey island village forest mountain valley captain farmer
window corner bottle basket blanket candle ribbon shelf ladder hammer barrel copper timber marble
""")

VERBS = word_list("""
ask use want work call need turn start show help play move like live believe happen include
continue change watch follow create open walk offer remember consider appear wait serve expect
stay reach remain suggest raise pass require report decide pull return explain hope develop carry
receive agree support produce cover describe point close reduce discuss prove join accept share
collect publish measure answer arrange deliver repair record cross climb paint gather borrow
examine confirm order check sign print count deposit cancel renew enclose mention prepare finish
polish plant harvest sail row knock whisper hurry wander promise invite thank visit
""")

ADJECTIVES = word_list("""
good new long great little old right big high different small large
early young important public bad local free true full special easy clear recent
certain personal open red difficult available likely short single medical current wrong private
past foreign fine common poor natural significant similar hot central happy serious ready
simple left physical general green careful quiet narrow bright annual final quick northern
southern modern ancient gentle heavy hollow golden silver yellow purple silent curious honest
ordinary remarkable pleasant patient distant broken wooden frozen empty grateful
""")

ADVERBS = word_list("""
again also often never always soon then once already together almost perhaps quickly slowly
carefully finally usually quietly recently early late twice rarely gladly suddenly certainly
""")

PREPOSITIONS = word_list("""
of in for on with at from by about into after over under between through before without during
near behind across beside along towards against around beyond
""")

DETERMINERS = word_list("the a the this the my the our the his their her each every that some your")
PRONOUNS = word_list("he she it they we I you")
CONJUNCTIONS = word_list("and but because while although so and when since")

ONSETS = word_list(
    "b br c ch cl d dr f fl fr g gl gr h j k l m n p pl pr qu r s sh sl st t th tr v w y z"
)
NUCLEI = word_list("a e i o u a e i o ea ee ai ou oo ie")
CODAS = ["", "", "n", "r", "l", "s", "t", "m", "nd", "rt", "ck", "x", "ss", "lm", "rn", "v"]


def by_frequency(rng: random.Random, words: Sequence[str]) -> str:
    """One of `words`, the early ones more often than the late."""
    return words[int(len(words) * rng.random() ** 1.6)]


def made_up_word(rng: random.Random, num_syllables: int | None = None) -> str:
    """A pronounceable word that no dictionary holds, in lower case."""
    count = num_syllables or rng.choice((1, 2, 2, 3))
    return "".join(
        rng.choice(ONSETS) + rng.choice(NUCLEI) + rng.choice(CODAS) for _ in range(count)
    )


def plural(noun: str) -> str:
    """The regular English plural, with the irregular ones of `NOUNS`."""
    irregular = {"man": "men", "woman": "women", "child": "children", "person": "persons"}
    irregular |= {"foot": "feet", "life": "lives", "wife": "wives", "shelf": "shelves"}
    if noun in irregular:
        return irregular[noun]
    if noun.endswith(("s", "x", "ch", "sh", "z")):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"


def past(verb: str) -> str:
    """The regular past tense."""
    if verb.endswith("e"):
        return verb + "d"
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return verb[:-1] + "ied"
    return verb + ("ed" if verb != "plan" else "ned")


def article(following: str, rng: random.Random) -> str:
    """A determiner that fits the word after it ("an old", "a new")."""
    determiner = rng.choice(DETERMINERS)
    vowel_first = following.startswith((*"aeiou", "hour", "honest"))
    return "an" if determiner == "a" and vowel_first else determiner


def noun_phrase(rng: random.Random) -> str:
    """Such as "the quiet harbour" or "three old letters"."""
    noun = by_frequency(rng, NOUNS) if rng.random() > 0.04 else made_up_word(rng)
    words = [noun] if rng.random() > 0.4 else [by_frequency(rng, ADJECTIVES), noun]
    chance = rng.random()
    if chance < 0.12:
        number = rng.choice(("two", "three", "four", "ten", "many", str(rng.randint(2, 400))))
        return " ".join([number, *words[:-1], plural(noun)])
    if chance < 0.2:
        return " ".join([*words[:-1], plural(noun)])
    return " ".join([article(words[0], rng), *words])


def clause(rng: random.Random) -> str:
    """Subject, verb and what follows, without a capital or a full stop."""
    subject = rng.choice(PRONOUNS) if rng.random() < 0.35 else noun_phrase(rng)
    words = [subject, past(by_frequency(rng, VERBS))]
    if rng.random() < 0.2:
        words.insert(1, by_frequency(rng, ADVERBS))
    if rng.random() < 0.75:
        words.append(noun_phrase(rng))
    for _ in range(rng.choice((0, 1, 1, 2))):
        words += [by_frequency(rng, PREPOSITIONS), noun_phrase(rng)]
    return " ".join(words)


def capitalised(text: str) -> str:
    """`text` with its first letter in upper case, the rest as it was."""
    return text[:1].upper() + text[1:]


def sentence(rng: random.Random) -> str:
    """One English sentence, five to thirty words, grammatical more often than sensible."""
    text = clause(rng)
    chance = rng.random()
    if chance < 0.25:
        text += f", {rng.choice(CONJUNCTIONS)} {clause(rng)}"
    elif chance < 0.32:
        text = f"{by_frequency(rng, PREPOSITIONS)} {noun_phrase(rng)}, {text}"
    elif chance < 0.37:
        text += f" ({noun_phrase(rng)})"
    elif chance < 0.42:
        speaker = rng.choice(("he", "she", "they"))
        text = f"“{capitalised(text)},” {speaker} {past(by_frequency(rng, VERBS))}"
    elif chance < 0.46:
        text += f"; {clause(rng)}"
    return capitalised(text) + rng.choices(".?!", (92, 5, 3))[0]


def phrase(rng: random.Random, num_nouns: int) -> str:
    """Nouns and what goes with them, without verb or stop: subjects, captions, items of lists."""
    text = noun_phrase(rng)
    for _ in range(num_nouns - 1):
        text += f" {by_frequency(rng, PREPOSITIONS)} {noun_phrase(rng)}"
    return text


def heading(rng: random.Random) -> str:
    """Such as "The Quiet Harbour of Valley", in one of the usual capitalisations."""
    adjective, noun = by_frequency(rng, ADJECTIVES), by_frequency(rng, NOUNS)
    text = rng.choice(
        (
            f"{adjective} {plural(noun)}",
            f"the {adjective} {noun}",
            f"{plural(noun)} and {plural(by_frequency(rng, NOUNS))}",
            f"the {noun} {rng.choice(PREPOSITIONS)} the {by_frequency(rng, NOUNS)}",
            f"{adjective} {noun} {rng.choice(('report', 'list', 'plan', 'review', 'notes'))}",
        )
    )
    return rng.choice((capitalised, capitalised, str.title, str.upper))(text)
