"""The conversation template of a checkpoint: what its chat template is called in MLC-LLM.

It decides what chat requests look like and where they stop. Measuring feeds token ids and ignores stops, so a model
without a known chat template gets `LM`, which adds nothing.
"""

import json
from pathlib import Path

#: What a chat template must contain, the model types that it is for (none: all), the name.
_KNOWN = (
    ("<|start_header_id|>", (), "llama-3_1"),
    ("<start_of_turn>", ("gemma3", "gemma3_text"), "gemma3_instruction"),
    ("<start_of_turn>", (), "gemma_instruction"),
    ("<|im_start|>", ("qwen3", "qwen3_moe"), "qwen3"),
    ("<|im_start|>", ("qwen2", "qwen2_moe"), "qwen2"),
    ("<|im_start|>", (), "chatml"),
    ("[INST]", ("mistral", "mixtral"), "mistral_default"),
    ("[INST]", ("llama",), "llama-2"),
    ("<|end|>", ("phi3",), "phi-3"),
)


def choose(checkpoint: Path) -> str:
    """The name of the template."""
    chat = _chat_template(checkpoint)
    model_type = _json(checkpoint / "config.json").get("model_type")
    for mark, types, name in _KNOWN:
        if mark in chat and (not types or model_type in types):
            return name
    return "LM"


def _chat_template(checkpoint: Path) -> str:
    try:
        return (checkpoint / "chat_template.jinja").read_text(encoding="utf-8")
    except OSError:
        pass
    for file in ("chat_template.json", "tokenizer_config.json"):
        template = _json(checkpoint / file).get("chat_template")
        if template:
            return template if isinstance(template, str) else json.dumps(template)
    return ""


def _json(file: Path) -> dict:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
