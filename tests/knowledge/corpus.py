"""A made-up help centre of 1,080 sections, and questions that are worded differently from it."""

from dataclasses import dataclass, field
from typing import Any, Final

PRODUCTS: Final = [
    f"{name} {kind}"
    for name in (
        *("Aldora", "Brenik", "Calvex", "Dunmore", "Elstra", "Fennic", "Gaspar", "Holmet"),
        *("Istrin", "Jorvik", "Kessel", "Lumina"),
    )
    for kind in ("kettle", "router", "bicycle", "dishwasher", "headset")
]

ASPECTS: Final[dict[str, str]] = {
    "Warranty": "Defects of the {p} are covered for {n} months. Claims are filed with the invoice.",
    "Returns": "An unused {p} may be sent back within {n} days; the refund arrives by transfer.",
    "Delivery": "The parcel with the {p} leaves the warehouse in {n} hours and is insured.",
    "Cleaning": "Wipe the {p} with a damp cloth every {n} days. Solvents damage its surface.",
    "Power": "The {p} draws {n} watts in operation and half a watt in standby.",
    "Noise": "At full load the {p} reaches {n} decibels, measured at one metre.",
    "Weight": "Without its packaging the {p} weighs {n} hundred grams.",
    "Colours": "The {p} is sold in {n} colours; graphite and ivory are always in stock.",
    "Spare parts": "Replacement parts for the {p} are kept for {n} years after the last sale.",
    "Firmware": "Updates of the {p} are installed at night; the last one took {n} minutes.",
    "Accounts": "Each {p} can be linked to {n} accounts, whose owner confirms by e-mail.",
    "Reset": "Hold the button of the {p} for {n} seconds to restore the factory settings.",
    "Children": "The lock of the {p} keeps children under {n} years from switching it on.",
    "Temperature": "Do not operate the {p} below {n} degrees or in direct sunlight.",
    "Assembly": "Putting the {p} together takes {n} minutes and one screwdriver.",
    "Repair": "Our workshop mends a broken {p} in {n} working days, pick-up included.",
    "Discount": "Schools and charities pay {n} percent less for the {p} when they order five.",
    "Recycling": "An old {p} is taken back free of charge at {n} collection points.",
}

ASKED: Final[dict[str, str]] = {
    "Warranty": "How many months are defects of a {p} covered?",
    "Returns": "Until when may I send my {p} back for a refund?",
    "Delivery": "When does the parcel of a {p} leave your warehouse?",
    "Cleaning": "What cloth should I wipe my {p} with, and are solvents fine?",
    "Power": "How many watts does the {p} need on standby?",
    "Noise": "Is the {p} loud, I mean in decibels at full load?",
    "Weight": "How heavy is a {p} in grams when unpacked?",
    "Colours": "Do you have the {p} in ivory, or what other colour?",
    "Spare parts": "For how many years can I order a replacement part of the {p}?",
    "Firmware": "How many minutes does installing an update on the {p} last?",
    "Accounts": "Can two people link their account with one {p}?",
    "Reset": "Which button brings a {p} back to factory settings?",
    "Children": "Can my children switch a {p} on, or is there a lock?",
    "Temperature": "In how many degrees of cold can I operate the {p}?",
    "Assembly": "Do I need a screwdriver for putting my {p} together?",
    "Repair": "My {p} is broken: does your workshop pick it up?",
    "Discount": "We are a school: what do we pay for five {p}s?",
    "Recycling": "Where do I bring my old {p}, and is that free of charge?",
}

UNANSWERABLE: Final = [
    "Who won the football championship last year?",
    "What is the capital of Mongolia?",
    "Can I grow tomatoes on a north-facing balcony?",
    "Which vaccinations do I require before travelling to Peru?",
    "How is a soufflé baked so that it rises?",
    "What does the Aldora lawnmower cost in Canada?",
    "Does the Brenik kettle speak Portuguese with my grandmother?",
    "Which actor plays the detective in the new series?",
    "How did the dinosaurs become extinct?",
    "What are the visiting hours of the museum?",
    "Which chords belong to that song?",
    "Is there a dress code at the opera?",
    "What is the boiling point of mercury?",
    "How do I file my income tax declaration?",
    "When does the next train to Lisbon depart?",
    "Who designed the logo of your competitor?",
    "What is the salary of an airline pilot?",
    "Can the Lumina headset translate Hungarian poetry?",
    "Which planet has the most moons?",
    "How do I teach my parrot to whistle?",
]


@dataclass(frozen=True)
class HelpPage:
    """A document of the help centre."""

    id: str
    text: str
    metadata: dict[str, Any] = field(default_factory=dict)


def number(product: str, aspect: str) -> int:
    """A figure that belongs to one section alone, nearly."""
    return 2 + (PRODUCTS.index(product) * 31 + list(ASPECTS).index(aspect) * 17) % 89


def pages() -> list[HelpPage]:
    """A document for each product, a section for each aspect."""
    return [
        HelpPage(
            product.replace(" ", "-").lower(),
            f"# {product}\n\n"
            + "\n\n".join(
                f"## {aspect}\n\n{text.format(p=product, n=number(product, aspect))}"
                for aspect, text in ASPECTS.items()
            ),
            {"product": product},
        )
        for product in PRODUCTS
    ]


def questions(first: int) -> list[tuple[str, str, str]]:
    """Eighty questions from the `first` on: the question, the document, the section."""
    found = []
    for index in range(first, first + 80):
        product = PRODUCTS[index * 7 % len(PRODUCTS)]
        aspect = list(ASKED)[index % len(ASKED)]
        question = ASKED[aspect].format(p=product)
        found.append((question, product.replace(" ", "-").lower(), aspect))
    return found
