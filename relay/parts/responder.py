"""The responder of the offline voice: a small coach who picks key words; pure and deterministic."""

import re
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from relay.parts.interfaces import ReplyDelta, ReplyPiece, ReplyRequest

MOST_WORDS: Final = 200  # of one utterance; a person's turn of 30 s has about 80
NEARBY: Final = 8  # two key words this many words apart, or fewer, belong together

Phrase = tuple[frozenset[str], ...]


@dataclass(frozen=True, slots=True)
class Topic:
    """A subject with the words that it is recognised by.

    `keys` are key words, separated by commas, each with its variants. A match of one of `phrases`
    is enough by itself: they are separated by semicolons, alternative words by `|`. `answers` are
    given in turn; after the last one they go on from the second.
    """

    name: str
    keys: str
    phrases: str
    answers: tuple[str, ...]


class TopicResponder:
    """A `Responder` that knows `TOPICS` and `SMALL_TALK`.

    A topic is taken up on a distinctive phrase, on one of its key words right after an opener, or
    on two different key words near each other; never on one word alone, since the transcriber gets
    one word in four wrong. Everything else is answered "I did not catch that".
    """

    def __init__(self) -> None:
        self._answered: Counter[str] = Counter()

    name = "topics"

    async def respond(self, request: ReplyRequest) -> AsyncIterator[ReplyPiece]:
        """Yield the answer to a transcript, "" included."""
        yield ReplyDelta(self.reply(request.prompt))

    def reply(self, prompt: str) -> str:
        """Return the answer to a transcript, "" included."""
        topic = topic_of(prompt)
        if topic is None:
            return self._next("", NOT_CAUGHT)
        return self._next(topic.name, topic.answers)

    def _next(self, name: str, answers: Sequence[str]) -> str:
        """Return the answers in turn; after the last, from the second on again."""
        turn = self._answered[name]
        self._answered[name] += 1
        return answers[turn if turn == 0 else 1 + (turn - 1) % (len(answers) - 1)]


def topic_of(text: str) -> Topic | None:
    """Return the topic of an utterance, None when that cannot be told."""
    words = words_of(text)
    best, most = None, 0
    for index in _indexes(TOPICS):
        found = _evidence(words, index)
        if found > most:
            best, most = index.topic, found
    if best is not None:
        return best
    for index in _indexes(SMALL_TALK):
        if any(_starts(words, phrase) for phrase in index.phrases):
            return index.topic
    return None


def words_of(text: str) -> tuple[str, ...]:
    """Return the words of a transcript, or of typed text, in lower case."""
    return tuple(
        re.findall(r"[a-z]+(?:'[a-z]+)*", text.lower().replace("\u2019", "'"))[:MOST_WORDS]
    )


@dataclass(frozen=True, slots=True)
class _TopicIndex:
    """The words of a topic, prepared for matching."""

    topic: Topic
    key_of: dict[str, int]
    phrases: tuple[Phrase, ...]


def _evidence(words: Sequence[str], index: _TopicIndex) -> int:
    """Return the weight of the evidence for a topic, 0 for too little."""
    phrases = sum(len(_starts(words, phrase)) for phrase in index.phrases)
    keys = [(place, index.key_of[word]) for place, word in enumerate(words) if word in index.key_of]
    after_opener = {
        place + len(opener) for opener in _phrases(OPENERS) for place in _starts(words, opener)
    }
    opened = any(place in after_opener for place, _ in keys)
    paired = any(
        key != other and 0 < later - place <= NEARBY for place, key in keys for later, other in keys
    )
    if not (phrases or opened or paired):
        return 0
    return 2 * phrases + len({key for _, key in keys})


def _starts(words: Sequence[str], phrase: Phrase) -> list[int]:
    """Return the indices at which a phrase begins."""
    return [
        place
        for place in range(len(words) - len(phrase) + 1)
        if all(words[place + i] in alternatives for i, alternatives in enumerate(phrase))
    ]


@cache
def _indexes(topics: tuple[Topic, ...]) -> tuple[_TopicIndex, ...]:
    return tuple(
        _TopicIndex(
            topic,
            {
                word: key
                for key, variants in enumerate(topic.keys.split(","))
                for word in variants.split()
            },
            _phrases(topic.phrases),
        )
        for topic in topics
    )


@cache
def _phrases(written: str) -> tuple[Phrase, ...]:
    return tuple(
        tuple(frozenset(word.split("|")) for word in phrase.split())
        for phrase in written.split(";")
        if phrase.strip()
    )


OPENERS = (
    "my; talk|talking|speak about; help|helps me with; coach me on; i'm|i've; "
    "problem|problems|trouble|struggle|struggling|difficulty with; "
    "i am|was|feel|felt|get|got|keep; been|being|feeling|feel"
)
"""Phrases after which one key word is enough: people talk about themselves, or ask to."""

TOPICS = (
    Topic(
        "goals",
        "goal goals, achieve achieving achievement, dream dreams, future, life, "
        "ambition ambitions ambitious",
        "my goal|goals; a|new|big goal; goal|goals for; set|setting|have|reach|reaching goals; "
        "want to achieve|become|accomplish",
        (
            "A goal is a good place to start. What would you like to be different three months "
            "from now?",
            "What is the smallest step towards that goal that you could take this week?",
            "How will you notice that you are getting closer to it?",
        ),
    ),
    Topic(
        "stress",
        "stress stressed stressful stressing, overwhelmed overwhelming, pressure, anxious anxiety, "
        "worry worried worries worrying, nervous, tense tension, panic, relax relaxing relaxed, "
        "calm, much",
        "stressed out; much|under|of|my stress; too much pressure; under pressure; i worry; "
        "worried about; burned|burnt out; calm down; so|very|really|too|feel|feeling|am|i'm|get"
        "|getting stressed|anxious|overwhelmed|nervous|worried|tense",
        (
            "That sounds like a lot to carry. What weighs on you the most right now?",
            "When the stress comes, where do you notice it first: in your body or in your "
            "thoughts?",
            "Which part of it could you put down, or share with somebody, this week?",
        ),
    ),
    Topic(
        "sleep",
        "sleep sleeping slept asleep sleepless, tired exhausted exhausting, night nights, "
        "bed bedtime, insomnia, awake wake waking woke, nap naps, rest rested",
        "can't|cannot|couldn't|not sleep; go|get|going|getting to sleep; fall|falling|fell asleep; "
        "trouble|problem|problems|difficulty sleeping; lie|lying|lay awake; "
        "sleep|sleeping|slept well|badly|better|enough|more|at; so|very|really|always|too tired",
        (
            "Sleep changes how everything else feels. What do the last thirty minutes before you "
            "go to bed look like?",
            "What keeps you awake: thoughts about the day, or the day that comes?",
            "If you could change one thing about your evenings, what would you try tonight?",
        ),
    ),
    Topic(
        "work",
        "work working worked works, job jobs, boss bosses manager, career careers, office, "
        "colleague colleagues coworker coworkers, company, promotion promoted, meeting meetings, "
        "team teams, project projects, salary",
        "my job|boss|career|manager|colleague|colleagues|coworkers|team|work|office; "
        "at|from|after|of|too|hate|love|like work; "
        "new|quit|lost|love|hate|dream job; job interview; work life balance",
        (
            "Let us look at your work. Which part of it gives you energy, and which part takes it?",
            "What would a good week at work look like, and what is the first thing in the way?",
            "Who at work could help you with that, and what would you ask them?",
        ),
    ),
    Topic(
        "planning",
        "plan plans planning planned, time, schedule schedules, calendar, deadline deadlines, "
        "busy, late, organize organized organizing, priority priorities, week weeks, "
        "procrastinate procrastinating procrastination",
        "time management; manage|managing|organize|plan my time|day|days|week; enough time; "
        "no|much|more|waste|wasting|find|finding time to|for; make|need|have a plan; "
        "my schedule|calendar|priorities|plan|plans|deadline; put|putting|keep|kept things off; "
        "i procrastinate; i'm|am|always|running late",
        (
            "Let us make a plan that is small enough to keep. What is the one thing that matters "
            "most this week?",
            "When exactly will you do it, and what will you leave out to make room?",
            "What has got in the way of such plans before, and what will you do when it comes "
            "again?",
        ),
    ),
    Topic(
        "confidence",
        "confidence confident, doubt doubts doubting, shy, insecure insecurity, scared fear fears, "
        "fail failing failed failure, mistake mistakes, believe believing, brave courage, myself",
        "my confidence; self confidence|doubt|esteem; believe in myself; doubt myself; "
        "more|less|not|so|very|feel|be confident; lack|lost|build|need|no|more confidence; "
        "not good enough; i'm|am|so|too afraid of|to; fear of failure|failing",
        (
            "Confidence grows from things that you have done. When did you last manage something "
            "that was hard for you?",
            "What would you tell a friend who doubted themselves in the same way?",
            "What is one small brave thing you could try before we talk again?",
        ),
    ),
    Topic(
        "relationships",
        "family families, friend friends friendship, wife husband partner, girlfriend boyfriend, "
        "mother father mom dad parents parent, son daughter kids child children, brother sister, "
        "argue argued arguing argument fight fighting fought, marriage married divorce, "
        "relationship relationships",
        "my family|wife|husband|partner|girlfriend|boyfriend|mother|father|mom|dad|parents|son"
        "|daughter|kids|children|brother|sister|friend|friends|marriage|relationship; "
        "a relationship; my best friend; fell|falling in love; we argue|argued|fight|fought",
        (
            "The people close to us matter a great deal. What do you wish they understood about "
            "you?",
            "What might the same situation look like from their side?",
            "What is one honest and kind sentence that you could say to them this week?",
        ),
    ),
    Topic(
        "health",
        "exercise exercises exercising exercised, run running ran jogging, gym, body, doctor, "
        "health healthy healthier unhealthy, weight, diet diets, food eat eating ate, fit fitness, "
        "walk walking walked walks, sport sports",
        "my health|weight|diet|body|fitness; to|the|a gym; lose|losing|lost|gain|gained weight; "
        "do|more|enough|need|regular|start exercise; get|getting in shape; "
        "start|started|go|going|went|like exercising|running|jogging; get|getting|be|keep fit; "
        "eat|eating healthy|healthier|better|well|less",
        (
            "Moving a little every day does more than a perfect plan. What kind of movement do you "
            "enjoy?",
            "Where in your day is there a place for ten minutes of that?",
            "What would make it hard to skip: a friend, a fixed time, or something you can see?",
        ),
    ),
    Topic(
        "feelings",
        "sad sadness unhappy, lonely alone loneliness, angry anger mad, bad, bored, excited proud, "
        "depressed depression depressing, happy happiness happier, cry crying cried, hurt hurts, "
        "feel feels feeling feelings felt, upset frustrated frustrating frustration",
        "i feel|felt|feeling sad|lonely|angry|down|bad|good|great|happy|upset|lost|empty|alone"
        "|better|terrible|proud|excited|hurt|frustrated|depressed|fine; my feelings; "
        "so|very|really|am|i'm|feel|feeling sad|lonely|angry|depressed|unhappy|upset|frustrated"
        "|happy|proud|excited|bored",
        (
            "Thank you for saying that. How long have you been feeling this way?",
            "What was going on just before you noticed it?",
            "What has helped you with a feeling like this before, even a little?",
        ),
    ),
    Topic(
        "habits",
        "habit habits, smoking smoke cigarettes, drinking alcohol, quit quitting, phone screen, "
        "routine routines, morning mornings, discipline disciplined, lazy, "
        "motivation motivated motivate",
        "bad|good|new|old|my|better|a habit|habits; stop|quit|quitting smoking|drinking; "
        "morning|daily|evening|my|new routine; give up smoking|drinking; motivate myself; "
        "my|no|lost|lack|more|need|any motivation; feel|not|so|be|get|stay motivated|lazy; "
        "self discipline",
        (
            "Habits change best one at a time. Which single one would you change first?",
            "What comes right before it every day? That is where a new habit can take hold.",
            "How could you make the good habit a little easier, and the old one a little harder?",
        ),
    ),
)
"""The subjects of coaching. Where several match, the one with the most evidence is taken."""

SMALL_TALK = (
    Topic(
        "help",
        "",
        "who are|is you|this; what are you; what is|are your name; what's your name; "
        "what can|do you do; what can i say|ask; can|could you help me; i need help; "
        "how does this work; are you a|an real|robot|machine|computer|person|human",
        (
            "I am a small demonstration voice inside the relay. We can talk about goals, stress, "
            "sleep, work, planning, confidence, the people around you, health, feelings or habits.",
            "Just say a short sentence about yourself, such as: I want to talk about my goals.",
        ),
    ),
    Topic(
        "goodbye",
        "",
        "goodbye; good bye; bye bye; good night; see you later|soon|tomorrow|again; "
        "talk to you later|soon|tomorrow|again",
        ("Goodbye, and be kind to yourself.", "Goodbye. I am here when you want to go on."),
    ),
    Topic(
        "thanks",
        "",
        "thank you; thanks for|a|so|very; many thanks",
        (
            "You are welcome. What would you like to talk about next?",
            "With pleasure. Is there anything else on your mind?",
        ),
    ),
    Topic(
        "greeting",
        "",
        "hello; hi|hey there; good morning|afternoon|evening; how are you; "
        "nice|pleased to meet you",
        (
            "Hello. I am a small demonstration coach. What is on your mind today?",
            "Hello again. What would you like to talk about?",
        ),
    ),
)
"""Answers to greetings and the like. The first that matches is taken, when no topic does."""

NOT_CAUGHT = (
    "I did not catch that. I am only a demonstration voice. For a real one, set OPENAI_API_KEY, "
    "or point OPENAI_BASE_URL at a local server that speaks /v1/realtime, such as LocalAI or "
    "speaches.",
    "I did not catch that. A short sentence about your goals, your work or your sleep is what I "
    "understand best.",
    "I did not catch that. Could you say it once more in other words?",
)
"""Answers when nothing matches: the first one once, then the others in turn."""
