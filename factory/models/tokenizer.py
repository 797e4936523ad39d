"""Text to token ids and back, chat templates, and text that grows token by token."""

from __future__ import annotations

import codecs
import functools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import NoReturn

import jinja2.sandbox
import tokenizers

from factory.errors import ModelError
from factory.models.checkpoint import TokenizerData


def _alphabet() -> dict[str, int]:
    """GPT-2's spelling of bytes: printable ones are themselves, the others are the letters from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + i): byte for i, byte in enumerate(rest)}


BYTE_OF = _alphabet()


class Tokenizer:
    """A model's tokenizer: byte-level BPE, or SentencePiece BPE with byte fallback.

    Special tokens such as <|im_start|> are read where a text spells them, and none is added. Raises ModelError where
    the tokenizer.json is broken or decodes in another way than these two.
    """

    def __init__(self, data: TokenizerData) -> None:
        self.data = data
        try:
            self._backend = tokenizers.Tokenizer.from_str(data.json)
            # Its pickled state is its part of the tokenizer.json, which is slow to parse as a whole.
            decoder = json.loads(self._backend.decoder.__getstate__()) if self._backend.decoder else {}
        except Exception as error:  # the tokenizers library raises nothing more special
            raise ModelError("not_format", path=data.source, format="tokenizer.json", why=error) from None
        steps = {step["type"]: step for step in decoder.get("decoders", [decoder]) if "type" in step}
        self._byte_level = steps.keys() == {"ByteLevel"}
        if not self._byte_level and not steps.keys() <= {"Replace", "ByteFallback", "Fuse", "Strip", "Metaspace"}:
            raise ModelError("feature", path=data.source, what=f"tokenizer decoder {', '.join(steps)}")
        # SentencePiece puts one space before a text, and takes one from the front when it decodes.
        self._strips = "Strip" in steps or steps.get("Metaspace", {}).get("prepend_scheme", "never") != "never"

    @property
    def stop_ids(self) -> tuple[int, ...]:
        """Token ids that end an answer."""
        return self.data.stop_ids

    @cached_property
    def vocabulary_size(self) -> int:
        """One more than the largest token id, added tokens included."""
        return max(self._backend.get_vocab(with_added_tokens=True).values(), default=-1) + 1

    def encode(self, text: str) -> list[int]:
        """The token ids of a text; special tokens in it are read, and none is added."""
        return self._backend.encode(text, add_special_tokens=False).ids

    def decode(self, ids: Iterable[int]) -> str:
        """The text of token ids, special tokens included; bytes that are no UTF-8 become U+FFFD."""
        return "".join(self.decode_stream(ids))

    def decode_stream(self, ids: Iterable[int]) -> Iterator[str]:
        """The text of token ids as they come, one string a token; joined they are `decode(ids)`.

        A character spread over several tokens comes with its last one, and those before it give "".
        """
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        strip = self._strips
        for number in ids:
            text = decoder.decode(self.token_bytes(number))
            if strip and text:
                text, strip = text.removeprefix(" "), False
            yield text
        if rest := decoder.decode(b"", final=True):
            yield rest

    def token_bytes(self, number: int) -> bytes:
        """The bytes that one token stands for, UTF-8 or a part of it; none for an id that is no token."""
        # The library takes unsigned 32-bit numbers.
        token = self._backend.id_to_token(int(number)) if 0 <= number < 2**32 else None
        if token is None:
            return b""
        if self._byte_level:
            if all(letter in BYTE_OF for letter in token):
                return bytes(BYTE_OF[letter] for letter in token)
            return token.encode()
        if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
            return bytes.fromhex(token[3:5])
        return token.replace("▁", " ").encode()

    def pieces(self, text: str) -> list[str]:
        """A text cut into its tokens, to be read by people: bytes that are only a part of a letter are <0xE3>."""
        return [self._readable(self.token_bytes(number)) for number in self.encode(text)]

    @staticmethod
    def _readable(piece: bytes) -> str:
        # surrogateescape hides a byte that is no UTF-8 in a letter of its own: U+DC00 and the byte.
        letters = piece.decode("utf-8", "surrogateescape")
        return "".join(
            f"<0x{ord(letter) - 0xDC00:02X}>" if "\udc80" <= letter <= "\udcff" else letter for letter in letters
        )

    def chat(self, messages: str | Sequence[Mapping[str, str]]) -> str:
        """The prompt that asks for an answer, by the model's chat template (as text: `encode` reads its tokens).

        `messages` is a question, or dicts of "role" ("system", "user", "assistant") and "content". Raises ModelError
        where the model has no template, or the template refuses the messages.
        """
        if isinstance(messages, str):
            messages = [{"role": "user", "content": messages}]
        try:
            return self._template.render(
                messages=messages, add_generation_prompt=True, tools=None, documents=None, **self.data.special_tokens
            )
        except ModelError:
            raise
        except Exception as error:  # a template is a program, and fails in its own ways
            raise ModelError("bad_template", path=self.data.source, why=error) from None

    @cached_property
    def _template(self) -> jinja2.Template:
        """The compiled template, with the names that transformers gives to one (utils/chat_template_utils.py)."""
        if self.data.chat_template is None:
            raise ModelError("template", path=self.data.source)
        environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        # jinja's own filter escapes HTML, which is no use in a prompt.
        environment.filters["tojson"] = functools.partial(json.dumps, ensure_ascii=False)
        environment.globals["raise_exception"] = _refuse
        environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
        return environment.from_string(self.data.chat_template)


def _refuse(why: str) -> NoReturn:
    raise jinja2.TemplateError(why)
