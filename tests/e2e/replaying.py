"""Is every segment of a journal decided again as it was? `python -m tests.e2e.replaying FOLDER...`

Prints one JSON object: what was replayed, and every difference. Meant to be run under several hash seeds.
"""

import hashlib
import json
import sys
from collections import Counter
from pathlib import Path

from noded.runtime import codec
from noded.runtime.journal import INPUT, read_segment
from noded.runtime.reactor import replay


def main() -> None:
    segments, inputs, differences, unknown = 0, Counter[str](), [], []
    end = hashlib.sha256()
    for folder in sys.argv[1:]:
        for path in sorted(Path(folder).glob("*.jsonl")):
            segment = read_segment(path.read_text("utf-8"))
            state, found = replay(segment.lines, segment.state)
            end.update(codec.dump(state).encode())
            differences += [f"{path}: {text}" for text in found]
            told = [json.loads(line[2:]) for line in segment.lines if line.startswith(INPUT)]
            inputs.update(name for name, _ in told)
            unknown += [
                f"{Path(folder).name} {fact['instance']}"
                for name, fact in told
                if name == "InstanceExited" and fact["status"] == "unknown"
            ]
            segments += 1
    result = {"segments": segments, "inputs": inputs, "differences": differences, "unknown": unknown}
    print(json.dumps({**result, "end": end.hexdigest()}))


if __name__ == "__main__":
    main()
