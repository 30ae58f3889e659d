"""What the offline voice can coach about: key words, phrases and answers, as plain data."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Topic:
    """One thing to talk about.

    `keys` are key words, set apart by commas, each with its variants. `phrases` settle the matter
    alone: set apart by semicolons, words that may stand for each other by `|`. `answers` are given
    in turn: the first time the first one, after the last one from the second on again.
    """

    name: str
    keys: str
    phrases: str
    answers: tuple[str, ...]


OPENERS = (
    "my; talk|talking|speak about; help|helps me with; coach me on; i'm|i've; "
    "problem|problems|trouble|struggle|struggling|difficulty with; "
    "i am|was|feel|felt|get|got|keep; been|being|feeling|feel"
)
"""Phrases after which one key word is enough: people speak of themselves, or ask to talk of it."""

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
"""What a coach is for. Where several match, the one with the most evidence is taken."""
