"""Fifty everyday sentences that no topic was written for, and what a fitting answer touches."""

from typing import Final

EVERYDAY: Final[dict[str, str]] = {
    # What happened, what there is.
    "It has been raining since this morning.": r"rain|weather|wet|umbrella|outside|indoors|dry",
    "My neighbour has bought a new dog.": r"dog|pet|puppy|neighbou?r|breed",
    "We had pizza for lunch.": r"pizza|lunch|food|taste|topping|\beat",
    "The train to the airport was half an hour late.": r"train|\blate|delay|airport|flight|wait",
    "I lost my umbrella on the bus.": r"umbrella|\bbus\b|rain",
    "The battery of this phone is empty.": r"batter|phone|charg",
    "The milk has gone sour.": r"milk|sour|fridge|drink|smell",
    "There is a spider in the bathroom.": r"spider|bathroom|insect|\bbug",
    "We are going to the seaside in August.": r"seaside|\bsea\b|beach|swim|august|coast|holiday",
    "The coffee here is very strong.": r"coffee|strong|drink|\bcup",
    "I cannot find my keys.": r"\bkeys?\b|pocket|bag",
    "Somebody has parked in front of our gate.": r"park|\bcar\b|gate|block",
    "The lift in our building is broken.": r"\blift|elevator|stairs|building|broken|repair",
    "I have just planted tomatoes in the garden.": r"tomato|garden|plant|grow",
    "The film last night was boring.": r"film|movie|boring|watch",
    "My grandmother is ninety years old today.": r"grandm|ninety|birthday|years old|\bage\b",
    "I am learning to play the guitar.": r"guitar|play|music|song|learn|chord",
    "The shoes that I ordered are too small.": r"shoe|small|\bsize|return|exchange|order",
    "It snowed in the mountains yesterday.": r"snow|mountain|\bski|cold",
    "Our football team lost again.": r"team|football|\blost|game|match",
    "My computer is very slow today.": r"computer|slow|program|restart|internet",
    "I painted the kitchen green.": r"kitchen|green|paint|colou?r",
    "The supermarket was full of people.": r"supermarket|people|crowd|shop|busy|bought|buy",
    "I left my wallet on the kitchen table.": r"wallet|money|table|kitchen|\bpay",
    "There was a power cut in our street.": r"power|street|light|electric|dark",
    "I have a ticket for the concert on Saturday.": r"concert|ticket|music|band|saturday|sing",
    "My cat sits on the piano all day.": r"\bcat|piano",
    "The soup needs more salt.": r"soup|salt|taste|season",
    "We moved to a new flat last month.": r"flat\b|moved?\b|apartment|\broom|neighbou?r",
    "The window in the hall does not close.": r"window|\bhall|close|broken|cold",
    "I saw a fox in the park.": r"\bfox|park|animal",
    "Bread has become so expensive.": r"bread|expensive|price|cost|money|\bbak",
    "My uncle is a pilot.": r"pilot|\bfl(y|ies|ight)|plane|uncle",
    "I am reading a book about Napoleon.": r"book|napoleon|\bread|history",
    "The dentist was very careful.": r"dentist|tooth|teeth|careful",
    "They are getting a new fridge.": r"fridge|kitchen|food|cold|refrigerator",
    "The river behind the house has flooded the road.": r"river|flood|water|road",
    "I have never been on a plane.": r"plane|\bfl(y|ying|ight)|airport|travel",
    # What somebody wants to know.
    "What is the capital of Italy?": r"\brome\b",
    "How many days are there in a week?": r"\bseven\b|\b7\b",
    "Why is the sky blue?": r"\bsky\b|\bblue\b|light|scatter",
    "What do bees make?": r"honey",
    "What is the largest ocean on earth?": r"pacific",
    "Who wrote Romeo and Juliet?": r"shakespeare",
    "What colour do you get from blue and yellow?": r"\bgreen\b",
    "How long do you boil an egg?": r"\begg|boil|minute|water",
    "What is a rainbow?": r"rain|light|colou?r|water|\bsun",
    "When do the shops close on Sunday?": r"shop|sunday|close|open",
    "Do you like chocolate?": r"chocolate|sweet|taste|\beat",
    "Where does the sun rise?": r"\beast",
}
"""By sentence: what an answer that fits must touch, as a pattern without regard to case.

An answer that only says the sentence once more does not count.
"""
