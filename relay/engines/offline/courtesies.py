"""What people say around the topics, and what is answered when nothing matches, as plain data."""

from relay.engines.offline.topics import Topic

COURTESIES = (
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
"""The first that matches is taken, when no topic does."""

NOT_CAUGHT = (
    "I did not catch that. I am only a demonstration voice. For a real one, set OPENAI_API_KEY, "
    "or point OPENAI_BASE_URL at a local server that speaks /v1/realtime, such as LocalAI or "
    "speaches.",
    "I did not catch that. A short sentence about your goals, your work or your sleep is what I "
    "understand best.",
    "I did not catch that. Could you say it once more in other words?",
)
"""Answers to what cannot be placed: the first one once, then the others in turn."""
