"""What the engine says of a request, held against what was asked. A request that was computed otherwise is no measurement."""

from tokometer_worker import Failed


def check(usage: dict | None, prompt: int, context: int, count: int, got: int, reason: str | None) -> dict:
    """The engine's own figures; a Failed where it computed something else than `prompt` tokens after `context` and then
    `count` tokens, of which `got` came."""
    if usage is None:
        raise Failed("engine", f"the engine ended the request without telling its usage (finish reason: {reason})")
    told, extra = usage.get("completion_tokens"), usage.get("extra")
    if got != count or told != count:
        raise Failed("engine", f"{count} tokens were asked for, {got} came and the engine counts {told} (finish reason: {reason})")
    if not isinstance(extra, dict):
        raise Failed("engine", "the engine tells no figures of its own, so it cannot be checked what it computed: its debug mode is off")
    prefilled, decoded = extra.get("prefill_tokens"), extra.get("decode_tokens")
    if usage.get("prompt_tokens") != context + prompt:
        raise Failed("engine", f"{context + prompt} prompt tokens were given, the engine counts {usage.get('prompt_tokens')}")
    if prefilled != prompt:
        why = ("the request was pre-empted and prefilled again: its KV cache is too small" if isinstance(prefilled, int)
               and prefilled > prompt else "a prefix cache is on")
        raise Failed("engine", f"{prompt} prompt tokens were to be computed, the engine computed {prefilled}: {why}")
    if decoded != count - 1:
        raise Failed("engine", f"{count - 1} tokens were to be decoded after the first, the engine decoded {decoded}")
    return {name: float(value) for name, value in extra.items() if isinstance(value, (int, float)) and not isinstance(value, bool)}
