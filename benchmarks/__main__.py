"""`python -m benchmarks NAME …` runs one benchmark."""

import sys

from benchmarks import clip, imports, pretrain, vision

BENCHMARKS = {
    "pretrain": pretrain.main,
    "imports": imports.main,
    "vision": vision.main,
    "clip": clip.main,
}


def main() -> int:
    """Run the benchmark that the first word names."""
    words = sys.argv[1:]
    if not words or words[0] not in BENCHMARKS:
        print(f"usage: python -m benchmarks {{{','.join(BENCHMARKS)}}} [flags]")
        return 0 if words in ([], ["-h"], ["--help"]) else 2
    BENCHMARKS[words[0]](words[1:])
    return 0


if __name__ == "__main__":
    sys.exit(main())
