"""Runs llama.cpp's convert_hf_to_gguf.py as it is, but for one thing: it knows tokenizers by a hash of what they do and
refuses one that it has not seen, as that of a made-up model. Such a one is treated as Llama 3's.

reference_convert.py SOURCE_OF_LLAMA_CPP ARGUMENTS...
"""

import os
import runpy
import sys


def main() -> None:
    source = sys.argv[1]
    sys.path[:0] = [source, os.path.join(source, "gguf-py")]
    from conversion.base import TextModel

    known = TextModel.get_vocab_base_pre

    def known_or_llama(self, tokenizer):
        try:
            return known(self, tokenizer)
        except NotImplementedError:
            return "llama-bpe"

    TextModel.get_vocab_base_pre = known_or_llama
    script = os.path.join(source, "convert_hf_to_gguf.py")
    sys.argv = [script, *sys.argv[2:]]
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main()
