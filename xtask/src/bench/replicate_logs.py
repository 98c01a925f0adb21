"""Writes many copies of one raw log: replicate_logs.py LOG FOLDER BYTES.

Each copy has a uuid of its own, in its name and wherever the log names it, and a closing line whose sha256 is right.
"""

import hashlib
import os
import re
import sys

CLOSING = re.compile(rb'("sha256":\s*")[0-9a-f]{64}"')


def copy_with(text: bytes, old: bytes, new: bytes) -> bytes:
    """The log under a new uuid."""
    text = text.replace(old, new)
    start = text.rstrip(b"\n").rfind(b"\n") + 1
    body, closing = text[:start], text[start:]
    digest = hashlib.sha256(body).hexdigest().encode()
    return body + CLOSING.sub(rb"\g<1>" + digest + b'"', closing)


def main() -> None:
    source, folder, wanted = sys.argv[1], sys.argv[2], int(sys.argv[3])
    name = os.path.basename(source)
    found = re.search(r"uuid([0-9a-f]{8})", name)
    if found is None:
        sys.exit(f"{name} has no uuid in its name")
    old = found.group(1)
    with open(source, "rb") as file:
        text = file.read()
    os.makedirs(folder, exist_ok=True)
    written, number = 0, 0
    while written < wanted:
        number += 1
        # A multiplication by an odd number modulo 2^32 never gives the same twice.
        new = f"{number * 2654435761 % 2**32:08x}"
        copy = copy_with(text, old.encode(), new.encode())
        with open(os.path.join(folder, name.replace(old, new)), "wb") as file:
            file.write(copy)
        written += len(copy)


if __name__ == "__main__":
    main()
