"""What documents are about: people, companies, places, dates, prices, goods; all of it invented."""

from __future__ import annotations

import datetime
import random
from decimal import Decimal

from .words import ADJECTIVES, NOUNS, by_frequency, capitalised, made_up_word, plural, word_list

FIRST_NAMES = word_list("""
Anna James Maria John Laura Peter Emma Robert Julia Thomas Sarah David Clara Michael Helen Paul
Grace Daniel Rosa Martin Alice Samuel Nora George Irene Victor Lucy Henry Elena Oscar Ruth Simon
Zoë René Chloé José Björn Inés Jürgen Søren Małgorzata Renée Noël Günter
""")

LAST_NAMES = word_list("""
Smith Baker Miller Turner Walker Cooper Fisher Mason Carter Taylor Hunter Brown Green White Young
Hill Wood Stone Marsh Field Brooks Banks Rivers Lane Hart Fox Swan Wolfe Archer Page Bell Winter
Müller Núñez Lefèvre O’Brien Østergaard García Åkesson Dvořák D’Amico Weiß
""")

TRADES = word_list("""
Trading Books Hardware Bakery Foods Motors Textiles Pharmacy Stationery Electric Furniture Garden
Coffee Printing Fabrics Logistics Optics Shoes Sports Seafood Market Enterprise Restaurant Bistro
""")
COMPANY_FORMS = ("Ltd", "Inc.", "& Sons", "& Co.", "LLC", "Sdn Bhd", "GmbH", "plc", "Group", "")
STREETS = ("Street", "Road", "Avenue", "Lane", "Square", "Drive", "Jalan", "Way", "Terrace")
TITLES = ("Manager", "Director", "Secretary", "Accounts", "Editor", "Head of Sales", "Treasurer")
GOODS = word_list("""
bread milk coffee tea rice sugar butter cheese apples oranges paper pencil stapler notebook
envelope hammer nails paint brush battery cable lamp bulb chair table shirt socks shoes soap towel
bucket broom candle glass plate spoon kettle filter hose rope screws tape glue ruler marker folder
chicken noodles soup salad juice water burger fries pizza sauce beans flour yeast honey
""")
QUALITIES = word_list("""
fresh large small blue red green white black classic premium organic extra mini double heavy light
A4 A5 XL 2pcs 500g 1kg 250ml 1.5L 60W 3m steel cotton plastic wooden
""")
UNITS = ("pcs", "kg", "box", "set", "m", "h", "pack")
CURRENCIES = ("$", "€", "£", "USD ", "EUR ", "RM", "")
CENT = Decimal("0.01")


def person(rng: random.Random) -> str:
    """First and last name, now and then an initial or a title."""
    last = rng.choice(LAST_NAMES) if rng.random() < 0.6 else made_up_word(rng).capitalize()
    first = rng.choice(FIRST_NAMES)
    middle = f" {rng.choice('ABCDEFGHJKLMNPRSTW')}." if rng.random() < 0.2 else ""
    title = rng.choice(("Dr ", "Mr ", "Ms ", "Prof. ")) if rng.random() < 0.12 else ""
    return f"{title}{first}{middle} {last}"


def company(rng: random.Random) -> str:
    """Such as "Marlow Trading Ltd"; no two seeds agree for long."""
    name = rng.choice(
        (
            made_up_word(rng, 2).capitalize(),
            rng.choice(LAST_NAMES),
            capitalised(by_frequency(rng, NOUNS)),
            f"{made_up_word(rng, 1).capitalize()} & {rng.choice(LAST_NAMES)}",
        )
    )
    return f"{name} {rng.choice(TRADES)} {rng.choice(COMPANY_FORMS)}".strip()


def town(rng: random.Random) -> str:
    """An invented town."""
    ending = rng.choice(("ton", "ford", "ham", "bury", " Bay", "ville", "berg", "field", "mouth"))
    return made_up_word(rng, rng.choice((1, 1, 2))).capitalize() + ending


def street(rng: random.Random) -> str:
    """House number and street."""
    name = capitalised(rng.choice((rng.choice(NOUNS), made_up_word(rng, 2))))
    letter = rng.choice(("", "", "", "A", "B"))
    return f"{rng.randint(1, 240)}{letter} {name} {rng.choice(STREETS)}"


def postal_town(rng: random.Random) -> str:
    """Post code and town in one of three national orders."""
    return rng.choice(
        (
            f"{rng.randint(10000, 99999)} {town(rng)}",
            f"{town(rng)}, {digits(rng, 5)}",
            f"{town(rng)} {letters(rng, 2)}{digits(rng, 1)} {digits(rng, 1)}{letters(rng, 2)}",
        )
    )


def digits(rng: random.Random, count: int) -> str:
    """`count` random digits."""
    return "".join(rng.choices("0123456789", k=count))


def letters(rng: random.Random, count: int) -> str:
    """`count` random capitals, without those that are easily taken for digits."""
    return "".join(rng.choices("ABCDEFGHJKLMNPRSTUVWXYZ", k=count))


def phone(rng: random.Random) -> str:
    """A telephone number as people write them."""
    return rng.choice(
        (
            f"+{rng.randint(1, 99)} {digits(rng, 3)} {digits(rng, 3)} {digits(rng, 4)}",
            f"({digits(rng, 3)}) {digits(rng, 3)}-{digits(rng, 4)}",
            f"0{digits(rng, 2)}-{digits(rng, 7)}",
        )
    )


def web_address(rng: random.Random) -> str:
    """An e-mail or a web address under a top-level domain that is reserved for examples."""
    host = f"{made_up_word(rng, 2)}.example"
    mailbox = rng.choice(("info", "sales", "office", "mail", "hello"))
    return rng.choice((f"{mailbox}@{host}", f"www.{host}"))


def code(rng: random.Random) -> str:
    """A reference such as "INV-20394" or "7F2 991"."""
    return rng.choice(
        (
            f"{letters(rng, rng.randint(2, 3))}-{digits(rng, rng.randint(4, 6))}",
            f"{letters(rng, 1)}{digits(rng, 2)}/{digits(rng, 4)}",
            f"{digits(rng, 3)}-{letters(rng, 2)}-{digits(rng, 3)}",
            f"#{digits(rng, rng.randint(4, 7))}",
            digits(rng, rng.randint(6, 10)),
        )
    )


def date(rng: random.Random) -> str:
    """A day between 1950 and 2049 in one of the usual notations."""
    day = datetime.date(1950, 1, 1) + datetime.timedelta(days=rng.randrange(36500))
    month = MONTHS[day.month - 1]
    return rng.choice(
        (
            f"{day.day} {month} {day.year}",
            f"{month} {day.day}, {day.year}",
            f"{day.day:02}/{day.month:02}/{day.year}",
            f"{day.year}-{day.month:02}-{day.day:02}",
            f"{day.day:02}.{day.month:02}.{day.year}",
            f"{day.day} {month[:3]} {day.year}",
        )
    )


def iso_date(rng: random.Random) -> str:
    """A day such as 1987-03-05."""
    return f"{rng.randint(1950, 2049)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"


# Written out: strftime would follow the machine's language.
MONTHS = word_list("""
January February March April May June July August September October November December
""")


def clock(rng: random.Random) -> str:
    """A time of day."""
    return f"{rng.randint(0, 23):02}:{rng.randint(0, 59):02}"


def amount(rng: random.Random, largest: int = 200) -> Decimal:
    """A sum of money with two decimals, small ones more often."""
    units = int(largest * rng.random() ** 2)
    return Decimal(units) + Decimal(rng.choice((0, 50, 90, 95, 99, rng.randrange(100)))) * CENT


def price(rng: random.Random, largest: int = 60) -> Decimal:
    """What a single thing costs; never nothing."""
    return amount(rng, largest) + Decimal(rng.randint(10, 99)) * CENT


def money(value: Decimal, currency: str = "") -> str:
    """Such as "$1,234.50"."""
    return f"{currency}{value.quantize(CENT):,}"


def goods(rng: random.Random) -> str:
    """Something that is sold."""
    name = rng.choice(GOODS) if rng.random() < 0.9 else plural(by_frequency(rng, NOUNS))
    quality = rng.choice(QUALITIES) if rng.random() < 0.8 else by_frequency(rng, ADJECTIVES)
    return capitalised(f"{quality} {name}" if rng.random() < 0.75 else name)
