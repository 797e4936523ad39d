"""The tiny language model's tokenizer: byte-level BPE whose words end where the Japanese script changes.

Byte-level BPE alone takes a run of Japanese letters for one word, and then cuts a name in another way in every
sentence. So katakana runs and kanji runs are words here, and every hiragana and every digit stands alone: the name of
a country is the same tokens wherever it stands.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

PAD, QUESTION, ANSWER, END = SPECIAL = ("<|pad|>", "<|question|>", "<|answer|>", "<|end|>")
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}" + QUESTION + "{{ message['content'] | trim }}"
    "{% elif message['role'] == 'assistant' %}" + ANSWER + "{{ message['content'] | trim }}" + END + ""
    "{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}" + ANSWER + "{% endif %}"
)
SCRIPTS = "[ァ-ヺー]+|[々〆一-鿿]+|[ぁ-ゖ]"


def learn(texts: Iterable[str], size: int) -> Tokenizer:
    """Learn `size` tokens from texts: the special ones, the 256 bytes, and the merges that pay most."""
    tokenizer = Tokenizer(models.BPE())
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.Split(Regex(SCRIPTS), "isolated"), byte_level]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=list(SPECIAL), initial_alphabet=byte_level.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def save(tokenizer: Tokenizer, folder: Path, context: int) -> None:
    """Write tokenizer.json and tokenizer_config.json, as transformers reads them too."""
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": context,
        "pad_token": PAD,
        "eos_token": END,
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", "utf-8")
