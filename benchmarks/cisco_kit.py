"""Runs Cisco's Model Provenance Kit on pairs of folders, inside that kit's own environment (see peers.py).

Called as `PYTHON cisco_kit.py` with one JSON list [first, second] per line on standard input; answers one JSON object per
line on standard output. Nothing of this project is imported here, nothing is fetched.
"""

import json
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
ANSWERS = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # the kit logs to standard output


def main() -> None:
    from provenancekit.core.scanner import ModelProvenanceScanner
    from provenancekit.services.cache import NullCache

    scanner = ModelProvenanceScanner(cache=NullCache())
    for line in sys.stdin:
        first, second = json.loads(line)
        try:
            said = scanner.compare(first, second)
            answer = {
                "decision": said.scores.provenance_decision,
                "pipeline_score": said.scores.pipeline_score,
                "identity_score": said.scores.identity_score,
                "tier": said.scores.mfi_tier,
                "signals": said.signals.model_dump(),
            }
        except Exception as error:  # one pair that fails must not end the comparison of the others
            answer = {"error": f"{type(error).__name__}: {error}"[:300]}
        ANSWERS.write(json.dumps(answer) + "\n")
        ANSWERS.flush()


if __name__ == "__main__":
    main()
