"""Language models that label concepts and simulate users: behind an API, on this machine, or recorded."""

from interpreto.model_wrapping.llm_interface.huggingface_llm import HuggingFaceLLM
from interpreto.model_wrapping.llm_interface.interface import Answer, Chat, Failure, LLMInterface, Usage, as_chat
from interpreto.model_wrapping.llm_interface.openai_llm import OpenAILLM
from interpreto.model_wrapping.llm_interface.recorded_llm import RecordedLLM

__all__ = [
    "Answer",
    "Chat",
    "Failure",
    "HuggingFaceLLM",
    "LLMInterface",
    "OpenAILLM",
    "RecordedLLM",
    "Usage",
    "as_chat",
]
