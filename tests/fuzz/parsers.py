"""One parser under atheris, in a process of its own: `python -m tests.fuzz.parsers TARGET FOLDER SECONDS SEED`.

With two arguments, the second a file, it plays a finding again, without atheris.
"""

import hashlib
import logging
import sys
from pathlib import Path
from random import Random

import tests.conftest  # noqa: F401 - sets the functions' environment
from tests.fuzz.mutation import mutated_json

MOST_BYTES = 16_384


def main(name: str, folder: Path, seconds: int, seed: int) -> None:
    """Look for findings; libFuzzer ends the process, with a status that is not 0 if there is one."""
    import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]

    with atheris.instrument_imports(include=["ringback", "lambdas"]):
        from tests.fuzz import parsing
    logging.disable()
    target = parsing.TARGETS[name]
    corpus = folder / "corpus" / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(target.real):
        target.look(data)  # real input is taken
        (corpus / f"real-{number}").write_bytes(data)

    def mutate(data: bytes, max_size: int, mutation_seed: int) -> bytes:
        random = Random(mutation_seed)  # noqa: S311 - so that a seed says all
        if random.random() < 0.3:
            return bytes(atheris.Mutate(data, max_size))
        changed = mutated_json(data.decode("utf-8", "replace"), random)
        return changed.encode("utf-8", "replace")[:max_size]

    def look(data: bytes) -> None:
        try:
            parsing.look(name, data)
        except Exception:
            file = folder / f"{name}-crash-{hashlib.sha256(data).hexdigest()[:12]}"
            file.write_bytes(data)
            print(f"FINDING {file}; again: python -m tests.fuzz --replay {file}")
            raise

    atheris.Setup(
        [
            sys.argv[0],
            f"-max_total_time={seconds}",
            f"-seed={seed}",
            f"-max_len={MOST_BYTES}",
            f"-artifact_prefix={folder / name}-",
            "-timeout=10",
            "-rss_limit_mb=2048",
            "-print_final_stats=1",
            "-verbosity=0",
            str(corpus),
        ],
        look,
        custom_mutator=mutate,
    )
    atheris.Fuzz()


if __name__ == "__main__":
    if len(sys.argv) == 3:
        from tests.fuzz import parsing

        parsing.look(sys.argv[1], Path(sys.argv[2]).read_bytes())
    else:
        main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
