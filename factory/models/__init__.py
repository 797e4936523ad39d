"""Models built from Device operations alone."""

from factory.models.fingerprint import fingerprint
from factory.models.llama import LanguageModel
from factory.models.vision import PHOTOS, ImageClassifier

__all__ = ["PHOTOS", "ImageClassifier", "LanguageModel", "fingerprint"]
