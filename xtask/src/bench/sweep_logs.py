"""Writes a raw log for every case of a sweep's plan: sweep_logs.py LOG PLAN FOLDER.

Each is a copy of LOG under a uuid and for a case of its own, with a closing line whose sha256 is right.
"""

import hashlib
import json
import os
import re
import sys

from replicate_logs import CLOSING


def main() -> None:
    source, plan, folder = sys.argv[1:]
    name = os.path.basename(source)
    old = re.search(r"uuid([0-9a-f]{8})", name).group(1)
    with open(source, "rb") as file:
        text = file.read()
    with open(plan, encoding="utf-8") as file:
        cases = [planned for block in json.load(file)["blocks"] for planned in block["cases"]]
    os.makedirs(folder, exist_ok=True)
    for number, planned in enumerate(cases, 1):
        new = f"{number * 2654435761 % 2**32:08x}"
        copy = text.replace(old.encode(), new.encode())
        for key, value in (("case", planned["hash"]), ("sweep_case", planned["hash"])):
            copy = re.sub(rf"(?m)^{key}: .*$".encode(), f"{key}: {value}".encode(), copy, count=1)
        start = copy.rstrip(b"\n").rfind(b"\n") + 1
        digest = hashlib.sha256(copy[:start]).hexdigest().encode()
        with open(os.path.join(folder, name.replace(old, new)), "wb") as file:
            file.write(copy[:start] + CLOSING.sub(rb"\g<1>" + digest + b'"', copy[start:]))


if __name__ == "__main__":
    main()
