"""Models built from Device operations alone."""

from factory.models.llama import LanguageModel
from factory.models.vision import ImageClassifier

__all__ = ["ImageClassifier", "LanguageModel"]
