"""A harness for verifiers that asks once and needs no network: the prompt goes to the chat endpoint, the reply is the trace.

The harnesses that verifiers brings fetch their dependencies when they run; this one has none."""

import sys

from verifiers.v1.configs.harness import HarnessConfig
from verifiers.v1.harness import Harness

PROGRAM = """
import json, sys, urllib.request
address, key, model, prompt = sys.argv[1:5]
body = json.dumps({"model": model, "messages": [{"role": "user", "content": prompt}]}).encode()
headers = {"content-type": "application/json", "authorization": "Bearer " + key}
request = urllib.request.Request(address.rstrip("/") + "/chat/completions", body, headers)
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
with opener.open(request) as answer:
    answer.read()
"""


class TokometerChatConfig(HarnessConfig):
    """Nothing to set."""


class TokometerChat(Harness[TokometerChatConfig]):
    """Asks once."""

    EXECUTES_CODE = False
    NEEDS_CONTAINER = False

    async def launch(self, ctx, trace, runtime, endpoint, secret, mcp_urls, data, tool_interception_url=None):
        _, prompt = self.resolve_text_prompt(data)
        command = [sys.executable, "-c", PROGRAM, endpoint, secret, ctx.model, prompt or ""]
        return await runtime.run_program(command, {**self.config.resolved_env})


__all__ = ["TokometerChat"]
