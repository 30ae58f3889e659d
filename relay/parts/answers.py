"""Answers of the local voice that need no model: the topics of a small coach, and small talk.

Every answer takes six seconds at most to say: fifteen words.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Topic:
    """A subject with the words that it is recognised by.

    A match of one of `phrases` is enough: they are separated by semicolons, alternative words by
    `|`. `sure` are distinctive words that are enough by themselves when people speak of themselves.
    `keys` are key words, separated by commas, each with its variants: two of them near each other
    are needed, or an opener before one. `answers` are given in turn; after the last one they go on
    from the second.
    """

    name: str
    keys: str
    sure: str
    phrases: str
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Act:
    """What somebody does by speaking, whatever the subject, such as to greet.

    It is recognised by its `phrases`, anywhere, at the `start` or as the `whole` of an utterance.
    With one of the words `unless` it is something else.
    """

    name: str
    answers: tuple[str, ...]
    phrases: str = ""
    start: str = ""
    whole: str = ""
    unless: str = ""


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
        "goal goals ambition ambitions ambitious",
        "my goal|goals; a|new|big goal; goal|goals for; set|setting|have|reach|reaching goals; "
        "want to achieve|become|accomplish",
        (
            "A goal is a good place to start. What should be different in three months?",
            "What is the smallest step towards it that you could take this week?",
            "How will you notice that you are getting closer?",
        ),
    ),
    Topic(
        "stress",
        "stress stressed stressful stressing, overwhelmed overwhelming, pressure, anxious anxiety, "
        "worry worried worries worrying, nervous, tense tension, panic, relax relaxing relaxed, "
        "calm, much",
        "stress stressed stressful overwhelmed overwhelming anxious anxiety burnout",
        "stressed out; much|under|of|my stress; too much pressure; under pressure; i worry; "
        "worried about; burned|burnt out; calm down; so|very|really|too|feel|feeling|am|i'm|get"
        "|getting stressed|anxious|overwhelmed|nervous|worried|tense",
        (
            "That sounds like a lot to carry. What weighs on you the most?",
            "Where do you notice it first, in your body or in your thoughts?",
            "Which part of it could you put down, or share with somebody?",
        ),
    ),
    Topic(
        "sleep",
        "sleep sleeping slept asleep sleepless, tired exhausted exhausting, night nights, "
        "bed bedtime, insomnia, awake wake waking woke, nap naps, rest rested",
        "insomnia sleepless exhausted",
        "can't|cannot|couldn't|not sleep; go|get|going|getting to sleep; fall|falling|fell asleep; "
        "trouble|problem|problems|difficulty sleeping; lie|lying|lay awake; "
        "sleep|sleeping|slept well|badly|better|enough|more|at; so|very|really|always|too tired",
        (
            "Sleep changes how everything feels. What does your last half hour before bed look "
            "like?",
            "What keeps you awake, the day behind you or the day ahead?",
            "If you changed one thing about your evenings, what would it be?",
        ),
    ),
    Topic(
        "work",
        "work working worked works, job jobs, boss bosses manager, career careers, office, "
        "colleague colleagues coworker coworkers, company, promotion promoted, meeting meetings, "
        "team teams, project projects, salary",
        "job boss career coworker coworkers colleague colleagues salary",
        "my job|boss|career|manager|colleague|colleagues|coworkers|team|work|office; "
        "from|after|about|hate|love|like work; at work; too much work; too many meetings; "
        "new|quit|lost|love|hate|dream job; job interview; work life balance",
        (
            "Let us look at your work. What gives you energy there, and what takes it?",
            "What would a good week at work look like?",
            "Who at work could help you with that?",
        ),
    ),
    Topic(
        "planning",
        "plan plans planning planned, time, schedule schedules, calendar, deadline deadlines, "
        "busy, late, organize organized organizing, priority priorities, week weeks, "
        "procrastinate procrastinating procrastination",
        "procrastinate procrastinating procrastination deadline deadlines priorities",
        "time management; manage|managing|organize|plan my time|day|days|week; enough time; "
        "no|much|more|waste|wasting|find|finding time for; make|need|have a plan; "
        "my schedule|calendar|priorities|plan|plans|deadline; put|putting|keep|kept things off; "
        "i procrastinate; i'm|am|always running late",
        (
            "Let us plan something small. What matters most to you this week?",
            "When exactly will you do it, and what will you leave out?",
            "What has got in the way of such plans before?",
        ),
    ),
    Topic(
        "confidence",
        "confidence confident, doubt doubts doubting, shy, insecure insecurity, scared fear fears, "
        "fail failing failed failure, mistake mistakes, believe believing, brave courage, myself",
        "confidence confident insecure insecurity shy",
        "my confidence; self confidence|doubt|esteem; believe in myself; doubt myself; "
        "more|less|not|so|very|feel|be confident; lack|lost|build|need|no|more confidence; "
        "i'm|am not good enough; i'm|am afraid|scared of|to; fear of failure|failing",
        (
            "Confidence grows from what you have done. When did you last manage something hard?",
            "What would you tell a friend who felt the same way?",
            "What is one small brave thing you could try this week?",
        ),
    ),
    Topic(
        "relationships",
        "family families, friend friends friendship, wife husband partner, girlfriend boyfriend, "
        "mother father mom dad parents parent, son daughter kids child children, brother sister, "
        "argue argued arguing argument fight fighting fought, marriage married divorce, "
        "relationship relationships",
        "wife husband girlfriend boyfriend marriage divorce relationship",
        "my family|wife|husband|partner|girlfriend|boyfriend|mother|father|mom|dad|parents|son"
        "|daughter|kids|children|brother|sister|friend|friends|marriage|relationship; "
        "a relationship; my best friend; fell|falling in love; we argue|argued|fight|fought",
        (
            "The people close to us matter a great deal. What is happening between you?",
            "What might it look like from their side?",
            "What is one kind and honest sentence you could say to them?",
        ),
    ),
    Topic(
        "health",
        "exercise exercises exercising exercised, run running ran jogging, gym, body, doctor, "
        "health healthy healthier unhealthy, weight, diet diets, food eat eating ate, fit fitness, "
        "walk walking walked walks, sport sports",
        "gym diet fitness jogging unhealthy",
        "my health|weight|diet|body|fitness; to|the|a gym; lose|losing|lost|gain|gained weight; "
        "do|more|enough|need|regular|start exercise; get|getting in shape; "
        "start|started|go|going|went|like exercising|running|jogging; get|getting|be|keep fit; "
        "eat|eating healthy|healthier|better|well|less",
        (
            "Small steps every day do the most. Which one would you enjoy?",
            "Where in your day is there room for ten minutes of it?",
            "What would make it hard to skip?",
        ),
    ),
    Topic(
        "feelings",
        "sad sadness unhappy, lonely alone loneliness, angry anger mad, bad, bored, excited proud, "
        "depressed depression depressing, happy happiness happier, cry crying cried, hurt hurts, "
        "feel feels feeling feelings felt, upset frustrated frustrating frustration",
        "sad unhappy lonely loneliness depressed depression frustrated upset",
        "i feel|felt|feeling sad|lonely|angry|down|bad|good|great|happy|upset|lost|empty|alone"
        "|better|terrible|proud|excited|hurt|frustrated|depressed|fine; my feelings; "
        "so|very|really|am|i'm|feel|feeling sad|lonely|angry|depressed|unhappy|upset|frustrated"
        "|happy|proud|excited|bored",
        (
            "Thank you for telling me. How long have you been feeling this way?",
            "What was going on just before you noticed it?",
            "What has helped you with such a feeling before?",
        ),
    ),
    Topic(
        "habits",
        "habit habits, smoking smoke cigarettes, drinking alcohol, quit quitting, phone screen, "
        "routine routines, morning mornings, discipline disciplined, lazy, "
        "motivation motivated motivate",
        "habit habits routine motivation motivated smoking lazy",
        "bad|good|new|old|my|better|a habit|habits; stop|quit|quitting smoking|drinking; "
        "morning|daily|evening|my|new routine; give up smoking|drinking; motivate myself; "
        "my|no|lost|lack|more|need|any motivation; feel|not|so|be|get|stay motivated|lazy; "
        "self discipline",
        (
            "Habits change best one at a time. Which one would you change first?",
            "What comes right before it? That is where a new habit takes hold.",
            "How could you make the good habit a little easier?",
        ),
    ),
)
"""The subjects of coaching. Where several match, the one with the most evidence is taken."""

ACTS = (
    Act(
        "help",
        (
            "I am a small voice on this machine. What would you like to talk about?",
            "Just tell me something about yourself. I want to talk about my goals, for example.",
        ),
        "who are you; what are you; what is|are your name; what's your name; what can|do you do; "
        "what can i say|ask; can|could you help me; i need help; how does this work; "
        "are you a|an real|robot|machine|computer|person|human",
    ),
    Act(
        "goodbye",
        ("Goodbye, and be kind to yourself.", "Goodbye. I am here when you want to go on."),
        "goodbye; good bye; bye bye; good night; see you later|soon|tomorrow|again; "
        "talk to you later|soon|tomorrow|again",
        whole="bye",
    ),
    Act(
        "thanks",
        (
            "You are welcome. What would you like to talk about next?",
            "With pleasure. Is there anything else on your mind?",
        ),
        "thank you; thanks for|a|so|very; many thanks",
        whole="thanks",
    ),
    Act(
        "greeting",
        (
            "Hello, it is good to hear you. What is on your mind today?",
            "Hello again. What would you like to talk about?",
        ),
        "hi|hey there; good morning|afternoon|evening; how are you; nice|pleased to meet you",
        start="hello; hi; hey",
    ),
    Act(
        "joke",
        (
            "Why did the clock see a coach? It wanted to find more time.",
            "I asked my diary for advice. It said, take it one day at a time.",
        ),
        "tell me a|another joke; know any|a|another jokes|joke; make me laugh",
    ),
    Act(
        "lookup",
        (
            "I cannot look that up. I only listen and talk.",
            "I have neither a clock nor a window. Why do you ask?",
        ),
        "what time is it; what's the time; what is the time; what|which day is it; "
        "what is|what's the date; what is|what's the news; the weather today|tomorrow|like; "
        "how is|how's the weather",
    ),
    Act(
        "repeat",
        ("I have not said anything yet. What is on your mind?", "What would you like to hear?"),
        "say that again; say it again; repeat that; repeat it; can you repeat; could you repeat; "
        "what did you say; didn't|not hear|catch you|that|it; didn't|not understand",
        whole="pardon; come again; sorry what",
    ),
    Act(
        "retry",
        (
            "All right, let us try again. What should be different this time?",
            "Of course, once more. Where shall we begin?",
        ),
        "try again; try it|that again; once more; start over; start again; one more time",
    ),
    Act(
        "moment",
        ("Take your time. I am here.", "No hurry. Tell me when you are ready."),
        "hold on; hang on; please|just hold|wait; one|a|just moment|second|minute please; "
        "wait|give me a|one moment|second|minute; give me a|one moment|second|minute; "
        "just a|one moment|second|minute",
        whole="wait; one moment|second|minute; hold",
    ),
    Act(
        "apology",
        ("No need to apologize. What happened?", "That is all right. What went wrong?"),
        "my apologies; i apologize; forgive me; my fault",
        start="sorry; i'm sorry; i am sorry; we're sorry; we are sorry; excuse me",
    ),
    Act(
        "unsure",
        ("That is all right. What comes to mind first?", "What would you say if you did know?"),
        "i don't know; i do not know; i'm not sure; i am not sure; no idea; hard to say",
    ),
    Act(
        "agreement",
        ("Good. Tell me a little more about it.", "All right. What comes next?"),
        whole="yes; yeah; yep; sure; okay; ok; right; exactly; of course; absolutely; all right",
    ),
    Act(
        "refusal",
        ("All right. What would you rather talk about?", "That is fine. What would suit you?"),
        whole="no; nope; not really; never mind; no thanks; i don't think so",
    ),
    Act(
        "stop",
        ("All right, I will be quiet. Speak when you like.", "I am quiet. Take your time."),
        "be quiet; shut up; stop talking",
        whole="stop; cancel; enough; quiet",
    ),
    Act(
        "trouble",
        (
            "That is a nuisance. What have you tried so far?",
            "That sounds annoying. What would you like to happen instead?",
            "When something goes wrong like that, what do you do first?",
        ),
        "does|do|did|is|are|was not work|working|available|possible|correct|right|valid; "
        "doesn't|don't|didn't|isn't|aren't|wasn't|won't work|working|available|possible|right; "
        "is|are|was|were broken|unavailable|invalid|incorrect|wrong|impossible; "
        "went|gone|goes|something|anything wrong; "
        "terribly|really|very|badly|horribly wrong; out of order; an error; a problem; "
        "can|could not be; cannot|can't|couldn't be; has|have|is failed; unable to; "
        "a|an invalid|incorrect|wrong",
    ),
    Act(
        "value",
        ("What makes it so important?", "How does that show in your day?"),
        "important to; very|so|really|most important; is|it's important; matters to|most|a",
    ),
    Act(
        "wish",
        (
            "That sounds good. What makes it matter to you?",
            "What would be a first step towards that?",
            "And what has kept you from it so far?",
        ),
        "i want to; i would like|love to; i'd like|love to; i wish; i hope; i plan to",
    ),
    Act(
        "request",
        (
            "I can only listen and talk, so that part is up to you.",
            "I cannot do that from here. What would it change for you?",
            "That is beyond me, I am only a voice. What is it for?",
        ),
        "please",
        start="press|push|click|type|enter|open|close|play|call|send|turn|buy|book|order; "
        "can|could|will|would you please; "
        "can|could|will|would you open|close|play|call|send|turn|buy|book|order|write|bring|show"
        "|find|set|make|do",
        unless="tell say explain talk sing speak describe answer name count suggest",
    ),
)
"""What people do with a voice partner on any subject. The first that matches is taken, when no
topic does."""

STORY = Act(
    "story",
    (
        "And what happened then?",
        "What do you make of that?",
        "How does that story make you feel?",
    ),
)
"""Told of others, in a whole sentence, without a word about oneself or to the partner."""

OPENING = ("Hello. What is on your mind today?", "I am listening. What is on your mind?")
"""Said when an answer is asked for before anybody has said anything."""

NOT_CAUGHT = (
    "I did not catch that. Could you say it again?",
    "I still did not catch it. A short sentence works best.",
    "I did not catch that. Could you come a little closer?",
)
"""Answers to what was not understood."""

QUESTIONED = (
    "That is more than I know. What do you think yourself?",
    "I have no answer to that. Why do you ask?",
)
"""Answers to questions on no topic, where no model is behind."""

ANYTHING = (
    "I see. Can you tell me more about that?",
    "And what does that mean for you?",
    "What would you like to do about it?",
)
"""Answers to anything else that was heard, where no model is behind."""
