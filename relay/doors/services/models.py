"""The bodies and answers of the services, as pydantic models; OpenAPI is made from them."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, Field

DEFAULT_MODEL: Final = "phi4"
DEFAULT_TOKENS: Final = 2048
DEFAULT_BASE: Final = "default"
"""The knowledge base that is always there."""
MAX_TEXT: Final = 100_000
"""Characters of a text to answer."""
MAX_HISTORY: Final = 200
"""Messages of a conversation that a caller may bring."""
MAX_SPOKEN: Final = 4096
"""Characters of a text to speak, as the speech functions of old had it."""
MAX_DOCUMENTS: Final = 100
MAX_DOCUMENT_CHARACTERS: Final = 10 * 1024 * 1024
MAX_NAME: Final = 128

Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]
Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]


class AudioFormat(BaseModel):
    """How headerless PCM is to be read."""

    sampleRate: int = Field(48000, ge=8000, le=96000)  # noqa: N815 - as it is on the wire
    channels: int = Field(1, ge=1, le=2)
    bitsPerSample: Literal[8, 16, 24, 32] = 16  # noqa: N815


class AIOptions(BaseModel):
    """How to answer. `cache` lets the answer to the same text come from five minutes ago."""

    system_prompt: str = Field("", max_length=MAX_TEXT)
    model: str = Field(DEFAULT_MODEL, max_length=MAX_NAME)
    temperature: float = Field(0.7, ge=0, le=2)
    max_tokens: int = Field(DEFAULT_TOKENS, gt=0)
    cache: bool = False


class AIConfig(AIOptions):
    """How to answer, with a prompt that must be there."""

    system_prompt: str = Field(max_length=MAX_TEXT)


class ChatTurn(BaseModel):
    """A message of a conversation that the caller brings."""

    role: Literal["system", "user", "assistant"]
    content: str = Field(max_length=MAX_TEXT)


class ProcessAudioBody(BaseModel):
    """Something said, to be answered."""

    audio: str
    format: AudioFormat | None = None
    config: AIConfig


class TranscribeBody(BaseModel):
    """Something said, to be written down."""

    audio: str
    format: AudioFormat | None = None


class GenerateBody(BaseModel):
    """A text to answer."""

    text: Text
    config: AIConfig


class ChatRequestBody(BaseModel):
    """The next message of a conversation: of the caller's history, else of `conversation_id`."""

    message: Text
    conversation_history: list[ChatTurn] = Field(default=[], max_length=MAX_HISTORY)
    conversation_id: str | None = Field(None, max_length=MAX_NAME)
    config: AIOptions = AIOptions.model_validate({})


class RagBody(BaseModel):
    """A question to the documents of a knowledge base."""

    query: Text
    knowledge_base: Name = DEFAULT_BASE
    config: AIOptions = AIOptions.model_validate({})


class SpeakBody(BaseModel):
    """A text to speak; `speed` is brought within 0.25 to 4."""

    text: str = Field(min_length=1, max_length=MAX_SPOKEN)
    voice: str = Field("", max_length=MAX_NAME)
    speed: float = 1.0
    model: str = Field("tts-1", max_length=MAX_NAME)


class DocumentBody(BaseModel):
    """One document, as text or Markdown."""

    id: Name
    text: str = Field(min_length=1, max_length=MAX_DOCUMENT_CHARACTERS)
    metadata: dict[str, Any] = {}


class DocumentsBody(BaseModel):
    """Documents to add to a knowledge base; one of the same id is replaced."""

    knowledge_base: Name = DEFAULT_BASE
    documents: list[DocumentBody] = Field(min_length=1, max_length=MAX_DOCUMENTS)


class DocumentsAsked(BaseModel):
    """A knowledge base whose documents are to be listed."""

    knowledge_base: Name = DEFAULT_BASE


class DocumentAsked(DocumentsAsked):
    """A document that is to be deleted."""

    id: Name


class StreamBody(BaseModel):
    """Something said or written, to be answered as a stream; either `audio` or `text`."""

    text: str = Field("", max_length=MAX_TEXT)
    audio: str = ""
    format: AudioFormat | None = None
    conversation_history: list[ChatTurn] = Field(default=[], max_length=MAX_HISTORY)
    config: AIOptions = AIOptions.model_validate({})


class ToolUsage(BaseModel):
    """A tool of the agent's that was called for an answer."""

    name: str
    success: bool
    result: Any = None


class GpuUsage(BaseModel):
    """Seconds that transcriber and language model took."""

    whisper_time: float
    ollama_time: float


class ProcessedAudio(BaseModel):
    """The answer to something said; `model` wrote it."""

    text: str
    userText: str  # noqa: N815 - as it is on the wire
    tools: list[ToolUsage]
    processing_time: float
    gpu_usage: GpuUsage | None
    model: str
    no_speech: bool = False


class Transcribed(BaseModel):
    """What was said."""

    text: str
    language: str
    confidence: float | None
    processing_time: float
    no_speech: bool = False


class Generated(BaseModel):
    """The answer to a text."""

    text: str
    tools: list[ToolUsage]
    processing_time: float
    model: str


class Chatted(BaseModel):
    """The answer to a message; with its id the conversation goes on."""

    text: str
    conversation_id: str | None
    tools: list[ToolUsage]
    processing_time: float
    model: str


class SourceShown(BaseModel):
    """A piece of a document that the answer may rest on."""

    id: str
    text: str
    score: float
    metadata: dict[str, Any]


class RagAnswer(BaseModel):
    """The answer to a question, with what was found for it."""

    text: str
    sources: list[SourceShown]
    processing_time: float
    model: str


class DocumentShown(BaseModel):
    """A document of a knowledge base."""

    id: str
    metadata: dict[str, Any]
    chunks: int


class DocumentsShown(BaseModel):
    """The documents of a knowledge base, or those that were added."""

    knowledge_base: str
    documents: list[DocumentShown]


class DocumentRemoved(BaseModel):
    """A document that is gone."""

    knowledge_base: str
    id: str
    deleted: bool


class FailureDetail(BaseModel):
    """What went wrong."""

    error: str
    message: str
    details: Any = None


class FailureEnvelope(BaseModel):
    """Every refusal and failure."""

    detail: FailureDetail
