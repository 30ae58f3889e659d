"""The topics: what people say to a coach finds its answer, the rest goes to the model."""

import json
import re
from typing import Any

import pytest

from relay.parts.answers import (
    ACTS,
    ANYTHING,
    NOT_CAUGHT,
    OPENING,
    QUESTIONED,
    STORY,
    TOPICS,
)
from relay.parts.interfaces import (
    CallOutput,
    FunctionCall,
    FunctionTool,
    HistoryEntry,
    MadeCall,
    Message,
    ReplyDelta,
    ReplyRequest,
    TokenUsage,
)
from relay.parts.topics import MOST_WORDS, TopicResponder, act_of, topic_of, words_of
from tests.components import needs
from tests.engines.cascade.recordings import prompt_texts

MOST_ANSWER_WORDS = 15  # about five seconds at the packaged voice's pace

ANSWERS = {subject.name: subject.answers for subject in (*TOPICS, *ACTS, STORY)}

SENTENCES = {
    "goals": [
        "i want to talk about my goals",
        "I'd like to set a new goal for this year.",
        "what should i do with my life",
        "i want to achieve something big",
        "my dream is a house by the sea",
        "i think a lot about my future",
    ],
    "stress": [
        "I'm stressed.",
        "i feel so stressed out",
        "there is too much pressure and i feel anxious",
        "i am overwhelmed by all of this",
        "i worry all day long",
        "my stress is getting worse",
    ],
    "sleep": [
        "I can't sleep at night.",
        "i have trouble sleeping",
        "i'm always tired",
        "i lie awake until three",
        "i go to bed late and wake up tired",
        "how do i fall asleep faster",
    ],
    "work": [
        "i have problems with my boss",
        "I hate my job.",
        "there are too many meetings at the office",
        "i want to change my career",
        "let us talk about work",
        "my colleagues do not listen to me",
    ],
    "planning": [
        "i never have enough time",
        "How can I plan my day?",
        "i need a plan for next week",
        "i keep putting things off",
        "my schedule is full",
        "i am always running late",
    ],
    "confidence": [
        "i am not confident",
        "i don't believe in myself",
        "i'm afraid of making a mistake",
        "I need more confidence.",
        "i doubt myself all the time",
        "i feel insecure when i speak",
    ],
    "relationships": [
        "my wife and i argue a lot",
        "I miss my family.",
        "i had a fight with my best friend",
        "let's talk about my mother",
        "my children do not call me",
        "i want to save my marriage",
    ],
    "health": [
        "i want to lose weight",
        "I should go to the gym.",
        "i need more exercise",
        "how do i get in shape",
        "i want to eat healthier food",
        "i have problems with my health",
    ],
    "feelings": [
        "i feel sad",
        "I'm so lonely.",
        "i am angry and upset",
        "i feel good today",
        "i have been crying and feeling bad",
        "i'm very happy",
    ],
    "habits": [
        "i want to quit smoking",
        "i have a bad habit",
        "I can't motivate myself.",
        "i need a morning routine",
        "help me with my habits",
        "i have no motivation at all",
    ],
}

ABOUT_SOMETHING_ELSE = [
    "you are currently the only person in this conference",
    "the quick brown fox jumps over the lazy dog",
    "what is the capital of france",
    "the plan was fine",
    "a man walked into a bar and ordered a drink",
    "the company has a new office in the city",
    "the doctor said that the food was good",
    "life is short",
    "time flies",
    "12345",
    "\u4f60\u597d",
]

SPOKEN_ACTS = {
    "help": ["who are you", "What can you do?", "can you help me", "What\u2019s your name?"],
    "goodbye": ["good bye", "Goodbye!", "see you tomorrow", "bye", "thank you and goodbye"],
    "thanks": ["thank you", "Thanks a lot.", "thanks"],
    "greeting": ["hello", "Hi there!", "good morning", "hello how are you", "hey"],
    "joke": ["Tell me a joke.", "do you know any jokes"],
    "lookup": ["What time is it?", "how is the weather today", "What day is it?"],
    "repeat": ["Could you repeat that?", "pardon", "I didn\u2019t hear you.", "What did you say?"],
    "retry": ["let us try again", "once more please", "I want to start over"],
    "moment": ["hold on", "just a moment please", "wait a second", "Give me a minute."],
    "apology": ["Sorry.", "I'm sorry I interrupted you", "excuse me", "it was my fault"],
    "unsure": ["I don't know", "I'm not sure about that", "I have no idea."],
    "agreement": ["Yes.", "okay", "Yeah, sure.", "of course"],
    "refusal": ["no", "Not really.", "no thanks", "never mind"],
    "stop": ["stop", "please be quiet", "Stop it."],
    "trouble": [
        "my computer does not work",
        "the printer is broken",
        "Something went wrong in the kitchen.",
        "the shop could not be found",
    ],
    "value": ["honesty is important to me", "Music matters a lot."],
    "wish": ["I would like to bake a cake", "I want to see the sea", "i wish it was summer"],
    "request": [
        "please open the window",
        "Can you call a taxi?",
        "turn off the lights",
        "when you are done, please lock the door",
    ],
    "story": ["he walked down to the river and saw her there", "They have sold the old house."],
}

ORDINARY = [
    "what is the capital of france",
    "how far away is the moon",
    "the museum is open until six",
    "There are seven chairs in the room.",
    "do you like music",
    "please tell me about the moon",
    "could you please explain gravity",
    "yesterday we saw a very big ship",
]
"""What has no written answer."""


class Model:
    """A model behind the topics that keeps its requests."""

    name = "a-model"

    def __init__(self, calls_tools=False):
        self.calls_tools = calls_tools
        self.requests = []
        self.left = 0

    async def respond(self, request):
        self.requests.append(request)
        try:
            yield ReplyDelta("Paris, ")
            yield ReplyDelta("of course.")
            yield TokenUsage(10, 4)
        finally:
            self.left += 1


def said(text: str, *earlier: HistoryEntry, **options: Any) -> ReplyRequest:
    return ReplyRequest(history=(*earlier, Message("user", text)), **options)


async def answer(responder: TopicResponder, request: ReplyRequest) -> str:
    pieces = [piece async for piece in responder.respond(request)]
    return "".join(piece.text for piece in pieces if isinstance(piece, ReplyDelta))


async def answers(responder: TopicResponder, *texts: str) -> list[str]:
    return [await answer(responder, said(text)) for text in texts]


def topic_name(text: str) -> str | None:
    topic = topic_of(text)
    return topic.name if topic else None


def act_name(text: str) -> str | None:
    act = act_of(text)
    return act.name if act else None


class TestTopics:
    @pytest.mark.parametrize(
        ("name", "text"), [(name, text) for name, texts in SENTENCES.items() for text in texts]
    )
    def test_what_people_say_to_a_coach_is_placed(self, name, text):
        assert topic_name(text) == name

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("stress", "everything is overwhelming me"),
            ("sleep", "my insomnia is back"),
            ("work", "our salary is too low"),
            ("planning", "we have three deadlines tomorrow"),
            ("goals", "Goals."),
            ("stress", "stress please"),
            ("habits", "Smoking."),
        ],
    )
    def test_a_distinctive_word_is_enough_of_oneself_or_alone(self, name, text):
        assert topic_name(text) == name

    @pytest.mark.parametrize("text", ABOUT_SOMETHING_ELSE)
    def test_what_is_about_something_else_is_not(self, text):
        assert topic_name(text) is None

    def test_every_topic_is_tried(self):
        assert set(SENTENCES) == {topic.name for topic in TOPICS}

    def test_two_key_words_count_only_near_each_other(self):
        assert topic_name("for me body one two three food") == "health"
        assert topic_name("for me body " + "one two three four five " * 2 + "food") is None

    def test_the_topic_with_the_most_evidence_is_taken(self):
        assert topic_name("i sleep badly and lie awake at night because of my job") == "sleep"
        assert topic_name("my boss and my team at work keep me awake") == "work"

    def test_only_so_many_words_are_looked_at(self):
        assert topic_name("word " * (MOST_WORDS - 3) + "i hate my job") is None
        assert topic_name("word " * (MOST_WORDS - 4) + "i hate my job") == "work"

    def test_typed_text_is_read_like_a_transcript(self):
        assert words_of("I\u2019m NOT, well: so-so!") == ("i'm", "not", "well", "so", "so")


class TestActs:
    @pytest.mark.parametrize(
        ("name", "text"), [(name, text) for name, texts in SPOKEN_ACTS.items() for text in texts]
    )
    def test_what_people_do_by_speaking_is_recognised(self, name, text):
        assert topic_name(text) is None
        assert act_name(text) == name

    def test_every_act_is_tried(self):
        assert set(SPOKEN_ACTS) == {act.name for act in (*ACTS, STORY)}

    @pytest.mark.parametrize("text", ORDINARY)
    def test_anything_else_is_none(self, text):
        assert topic_name(text) is None
        assert act_name(text) is None

    def test_a_yes_with_more_words_around_it_is_not_a_bare_yes(self):
        assert act_name("yes the museum is open until six") is None

    @needs("human_recordings")
    def test_no_coaching_topic_is_found_in_prompts_of_a_telephone_exchange(self):
        texts = prompt_texts()
        assert len(texts) > 500
        assert [text for text in texts.values() if topic_of(text)] == []


class TestAnswering:
    async def test_a_second_mention_gets_another_line_and_so_on_without_the_first_one(self):
        first, second, third = ANSWERS["sleep"]
        heard = await answers(TopicResponder(None), *["i cannot sleep"] * 5)
        assert heard == [first, second, third, second, third]

    async def test_topics_are_counted_apart_and_go_before_small_talk(self):
        heard = await answers(
            TopicResponder(None), "i cannot sleep", "hello i hate my job", "i lie awake"
        )
        assert heard == [ANSWERS["sleep"][0], ANSWERS["work"][0], ANSWERS["sleep"][1]]

    async def test_two_sessions_know_nothing_of_each_other(self):
        for responder in (TopicResponder(None), TopicResponder(None)):
            assert await answers(responder, "hello") == [ANSWERS["greeting"][0]]

    async def test_what_was_said_is_repeated_on_demand(self):
        responder = TopicResponder(None)
        before = Message("assistant", "Moving a little helps.")
        assert await answer(responder, said("say that again", before)) == before.text
        assert await answers(responder, "say that again") == [ANSWERS["repeat"][0]]

    async def test_without_a_model_a_neutral_question_follows(self):
        heard = await answers(
            TopicResponder(None), "the museum is open until six", "what is a quark", "it rains"
        )
        assert heard == [ANYTHING[0], QUESTIONED[0], ANYTHING[1]]


class TestTheModelBehind:
    async def test_it_answers_what_is_on_no_topic_and_its_usage_is_passed_on(self):
        model = Model()
        request = said("what is the capital of france")
        pieces = [piece async for piece in TopicResponder(model).respond(request)]
        assert pieces == [ReplyDelta("Paris, "), ReplyDelta("of course."), TokenUsage(10, 4)]
        assert model.requests == [request]

    async def test_it_is_not_asked_about_a_topic(self):
        model = Model()
        assert await answers(TopicResponder(model), "i cannot sleep") == [ANSWERS["sleep"][0]]
        assert model.requests == []

    @pytest.mark.parametrize("text", ["", "   "])
    async def test_what_was_not_understood_never_reaches_it(self, text):
        model = Model(calls_tools=True)
        responder = TopicResponder(model)
        tools = (FunctionTool("look_up"),)
        heard = [await answer(responder, said(text, tools=tools)) for _ in range(4)]
        assert heard == [*NOT_CAUGHT, NOT_CAUGHT[1]]
        assert model.requests == []

    async def test_an_answer_before_anybody_spoke_is_a_greeting(self):
        assert await answer(TopicResponder(Model()), ReplyRequest()) == OPENING[0]

    async def test_it_gets_out_of_band_requests(self):
        model = Model()
        await answer(TopicResponder(model), said("i cannot sleep", out_of_band=True))
        assert len(model.requests) == 1

    @pytest.mark.parametrize(("calls_tools", "asked"), [(True, 1), (False, 0)])
    async def test_it_gets_requests_with_tools_if_it_can_call_them(self, calls_tools, asked):
        model = Model(calls_tools)
        request = said("i cannot sleep", tools=(FunctionTool("look_up"),))
        await answer(TopicResponder(model), request)
        assert len(model.requests) == asked

    async def test_it_gets_the_outputs_of_functions(self):
        model = Model()
        history = (
            Message("user", "how did i sleep"),
            MadeCall("call_1", "look_up", "{}"),
            CallOutput("call_1", json.dumps({"sleep": "bad", "my": "sleep"})),
        )
        await answer(TopicResponder(model), ReplyRequest(history=history))
        assert len(model.requests) == 1

    async def test_its_calls_are_passed_on(self):
        class Caller(Model):
            async def respond(self, request):
                yield FunctionCall("look_up", "{}")

        request = said("what is a quark")
        pieces = [piece async for piece in TopicResponder(Caller()).respond(request)]
        assert pieces == [FunctionCall("look_up", "{}")]

    async def test_who_leaves_leaves_it_too(self):
        model = Model()
        pieces = TopicResponder(model).respond(said("what is a quark"))
        assert await anext(pieces) == ReplyDelta("Paris, ")
        await pieces.aclose()
        assert model.left == 1

    def test_the_name_is_the_models(self):
        assert TopicResponder(Model()).name == "a-model"
        assert TopicResponder(None).name == "topics"


EVERY_ANSWER = [
    *(text for texts in ANSWERS.values() for text in texts),
    *(*OPENING, *NOT_CAUGHT, *ANYTHING, *QUESTIONED),
]


class TestWhatIsWritten:
    @pytest.mark.parametrize("text", EVERY_ANSWER)
    def test_it_is_short_and_one_or_two_sentences(self, text):
        assert len(re.findall(r"[\w']+", text)) <= MOST_ANSWER_WORDS
        assert 1 <= len(re.findall(r"[.?](?: |$)", text)) <= 2

    @pytest.mark.parametrize("text", EVERY_ANSWER)
    def test_it_is_plain_speech_and_no_advertisement(self, text):
        assert re.fullmatch(r"[A-Za-z',.? ]+", text)
        assert not re.search(r"(?i)openai|key|url|server|download|install|demonstration", text)

    @pytest.mark.parametrize("name", ANSWERS)
    def test_there_are_several_for_each(self, name):
        assert len(set(ANSWERS[name])) == len(ANSWERS[name]) >= 2

    def test_no_name_is_used_twice(self):
        assert len(ANSWERS) == len(TOPICS) + len(ACTS) + 1

    @pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
    def test_no_phrase_of_a_topic_is_a_single_word(self, topic):
        assert min(len(phrase.split()) for phrase in topic.phrases.split(";")) >= 2

    @pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
    def test_no_other_key_word_is_enough_alone(self, topic):
        sure = set(topic.sure.split())
        words = {word for words in topic.keys.split(",") for word in words.split()}
        assert {word for word in words if topic_of(word)} <= sure
