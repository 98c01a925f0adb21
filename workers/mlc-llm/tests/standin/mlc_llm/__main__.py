"""The tools: `python -m mlc_llm convert_weight | gen_config | compile | serve`."""

import sys

from mlc_llm.standin import http_server, tools

if __name__ == "__main__":
    commands = {"convert_weight": tools.convert_weight, "gen_config": tools.gen_config, "compile": tools.compile_library,
                "serve": http_server.main}
    commands[sys.argv[1]](sys.argv[2:])
