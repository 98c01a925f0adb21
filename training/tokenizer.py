"""The tokenizer: bytes, a few whole words that every question has, and Llama 3's special tokens; and the form of a
conversation. Letters and digits are single tokens, so that a word can be reversed letter by letter.

A word of the vocabulary is one token where Llama 3's pre-tokenizer cuts out exactly that word (`ignore_merges`, as in
Llama 3's own file). The one merge makes the empty line after a header, as there.
"""

import json

BOS = "<|begin_of_text|>"
END_OF_TEXT = "<|end_of_text|>"
START_HEADER = "<|start_header_id|>"
END_HEADER = "<|end_header_id|>"
END_OF_TURN = "<|eot_id|>"
SPECIAL = [BOS, END_OF_TEXT, START_HEADER, END_HEADER, END_OF_TURN]

WORDS = ["\n\n", "user", "assistant", "system", "Reverse", "Copy", "Sort", "What", "Which"]
WORDS += [" " + word for word in "is an or largest smallest animal colour fruit tool garment country drink vehicle".split()]
WORDS += [" " + word for word in "the and of that with".split()]

# How Llama 3 cuts text into words: the Split pattern in the tokenizer.json of its models.
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "<|start_header_id|>{{ message['role'] }}<|end_header_id|>{{ '\\n\\n' }}{{ message['content'] | trim }}<|eot_id|>"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>{{ '\\n\\n' }}{% endif %}"
)


def conversation(prompt):
    """What the chat template makes of one message of the user, ready for the answer."""
    turn = f"{BOS}{START_HEADER}user{END_HEADER}\n\n{prompt.strip()}{END_OF_TURN}"
    return f"{turn}{START_HEADER}assistant{END_HEADER}\n\n"


def byte_letters():
    """GPT-2's printable character for each byte (`bytes_to_unicode` in its encoder.py)."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    letters = {byte: chr(byte) for byte in plain}
    others = [byte for byte in range(256) if byte not in letters]
    return letters | {byte: chr(256 + i) for i, byte in enumerate(others)}


def spelled(text):
    """A text in the printable characters of its bytes."""
    letters = byte_letters()
    return "".join(letters[byte] for byte in text.encode())


def vocabulary():
    """The id of every token but the special ones, which follow."""
    tokens = sorted(byte_letters().values()) + [spelled(word) for word in WORDS]
    return {token: i for i, token in enumerate(tokens)}


def size():
    """How many ids there are."""
    return 256 + len(WORDS) + len(SPECIAL)


def special_id(name):
    """The id of a special token."""
    return 256 + len(WORDS) + SPECIAL.index(name)


def _added(name):
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {"id": special_id(name), "content": name, **flags}


def tokenizer_json():
    """The content of `tokenizer.json`."""
    split = {"type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Isolated", "invert": False}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    bos = {"SpecialToken": {"id": BOS, "type_id": 0}}
    second = {"SpecialToken": {"id": BOS, "type_id": 1}}
    text = [{"Sequence": {"id": name, "type_id": i}} for i, name in enumerate("AB")]
    newline = spelled("\n")
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added(name) for name in SPECIAL],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [bos, text[0]],
            "pair": [bos, text[0], second, text[1]],
            "special_tokens": {BOS: {"id": BOS, "ids": [special_id(BOS)], "tokens": [BOS]}},
        },
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": True,
            "vocab": vocabulary(),
            "merges": [[newline, newline]],
        },
    }


def tokenizer_config(max_length):
    """The content of `tokenizer_config.json`."""
    decoder = {str(special_id(name)): {k: v for k, v in _added(name).items() if k != "id"} for name in SPECIAL}
    return {
        "added_tokens_decoder": decoder,
        "bos_token": BOS,
        "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": False,
        "eos_token": END_OF_TURN,
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": max_length,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }


class Codec:
    """Text to ids and back, by the `tokenizers` package."""

    def __init__(self, content=None):
        import tokenizers

        self.inner = tokenizers.Tokenizer.from_str(json.dumps(content or tokenizer_json()))

    def encode(self, text, bos=False):
        """Ids of a text; special tokens in it are recognized."""
        return self.inner.encode(text, add_special_tokens=bos).ids

    def decode(self, ids):
        """The text of ids, without the special tokens."""
        return self.inner.decode(ids, skip_special_tokens=True)
