"""Models built from Device operations alone."""

from factory.models.fingerprint import fingerprint
from factory.models.glyphs import GlyphReader
from factory.models.llama import LanguageModel
from factory.models.painter import GlyphPainter
from factory.models.vision import PHOTOS, ImageClassifier

__all__ = ["PHOTOS", "GlyphPainter", "GlyphReader", "ImageClassifier", "LanguageModel", "fingerprint"]
