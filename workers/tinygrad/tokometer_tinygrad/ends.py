"""What a checkpoint's folder says of serving it: the ids that end a text, the chat template, the length of its context."""

import json
from pathlib import Path


def eos(folder: Path, tokenizer) -> list:
    """The ids that end a text, the principal one first; of a GGUF file, whose tokenizer is not read, none."""
    settings = _table(folder / "tokenizer_config.json")
    named = settings.get("eos_token")
    named = named.get("content") if isinstance(named, dict) else named
    found = [tokenizer.id_of(named)] if tokenizer and isinstance(named, str) else []
    for file in ("generation_config.json", "config.json"):
        ids = _table(folder / file).get("eos_token_id")
        found += ids if isinstance(ids, list) else [ids]
    return list(dict.fromkeys(i for i in found if isinstance(i, int) and not isinstance(i, bool) and i >= 0))


def chat_template(folder: Path) -> str | None:
    """The default chat template, wherever the folder keeps it."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    template = _table(folder / "chat_template.json").get("chat_template") or _table(folder / "tokenizer_config.json").get("chat_template")
    if isinstance(template, list):  # several, by name
        template = next((entry.get("template") for entry in template if entry.get("name") == "default"), None)
    return template if isinstance(template, str) and template else None


def _table(file: Path) -> dict:
    try:
        table = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return table if isinstance(table, dict) else {}
