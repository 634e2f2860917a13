"""`preprocess.py`: from a corpus to a data set."""

from __future__ import annotations

import logging
import sys
from typing import Annotated, Any

from tqdm import tqdm

from uer.builder import Planner
from uer.cli.flags import Overrides
from uer.cli.loading import reads_text
from uer.cli.tokenizer import DEFAULT, make_tokenizer, side_facts, tokenizer_keys
from uer.data.block_encoder import Words
from uer.data.formats import FORMATS
from uer.data.preprocess import LEFT_OUT, Summary, preprocess_media
from uer.data.preprocess import preprocess as run
from uer.errors import ConfigError
from uer.files import require_writable
from uer.interop.legacy.config import translate
from uer.planned import Plan
from uer.processors.base import Processor
from uer.registry import load_plugins
from uer.tokenizers.base import Tokenizer, read_special_tokens

_log = logging.getLogger(__name__)


def preprocess(
    *,
    corpus_path: Annotated[
        list[str], "text files of the corpus; with images or sounds also folders and tar files"
    ],
    dataset_path: Annotated[str, "folder to write the data set to"] = "dataset.pt",
    data_processor: Annotated[
        str, "what instances will be made; decides the corpus format"
    ] = "bert",
    processes_num: Annotated[int, "processes that tokenise; the result does not depend on it"] = 1,
    words: Annotated[
        Words | None,
        "who says where words start, for whole-word masking (default: the tokenizer; jieba with "
        "--whole_word_masking)",
    ] = None,
    tokenizer: Annotated[str, "name of the tokenizer; images and sounds alone need none"] = "bert",
    special_tokens_path: Annotated[str | None, "JSON file of special tokens by role"] = None,
    tgt_tokenizer: Annotated[
        str | None, "tokenizer of the target side (default: the source's serves)"
    ] = None,
    tgt_vocab_path: Annotated[str | None, "its vocabulary"] = None,
    tgt_merges_path: Annotated[str | None, "its merges"] = None,
    tgt_spm_model_path: Annotated[str | None, "its sentencepiece model"] = None,
    tgt_do_lower_case: Annotated[bool | None, "it lowers the case and strips accents"] = None,
    tgt_special_tokens_path: Annotated[str | None, "JSON file of its special tokens"] = None,
    json_format_corpus: Annotated[
        bool, 'each line of a corpus of documents is a JSON object {"text": "…"}'
    ] = False,
    media_root: Annotated[
        str | None, "folder that the paths in manifests are relative to (default: the manifest's)"
    ] = None,
    plugin: Annotated[list[str] | None, "Python files that define further parts"] = None,
    overrides: Overrides,
) -> None:
    """Tokenise a corpus into a data set that any text objective can be trained on.

    Corpus formats: bert, albert, bart and gsg read a sentence per line and a blank line between
    documents; mlm, mpnet, lm, bilm, t5, ul2 and prophetnet a document per line; cls and cls_mlm
    lines of label<TAB>text[<TAB>second text]; mt and prefixlm lines of text<TAB>target text;
    llm_pretrain JSON lines {"text"}; llm_sft JSON lines {"instruction", "input", "output"}; vit
    lines of label<TAB>image path, class folders or tar files; views and data2vec image paths; dalle
    lines of text<TAB>image path; vlp lines of text<TAB>path of regions (.npz). Images and sounds
    stay where they are; the data set refers to them.
    """
    load_plugins(plugin)
    if words is None:
        # What the predecessors call whole words are jieba's.
        words = "jieba" if overrides.get("whole_word_masking") else "tokenizer"
    config = {"tokenizer": tokenizer, "data_processor": data_processor, **overrides}
    if special_tokens_path is not None:
        config["special_tokens"] = read_special_tokens(special_tokens_path)
    if processes_num < 1:
        raise ConfigError([f"processes_num: {processes_num} is not positive."])
    if not reads_text(data_processor):
        _preprocess_media(config, corpus_path, dataset_path, media_root)
        return
    tokens, instances, options = plan_data(config)
    made: Tokenizer = tokens.build()
    described = {
        "vocab_path": tgt_vocab_path,
        "merges_path": tgt_merges_path,
        "spm_model_path": tgt_spm_model_path,
        "do_lower_case": tgt_do_lower_case,
    }
    target = _tgt_tokenizer(tgt_tokenizer, tgt_special_tokens_path, described)
    if target is not None and not instances.part.two_tokenizers:
        raise ConfigError(
            [f"the processor '{instances.name}' has no target side; leave --tgt_… out."]
        )
    # A processor that refuses its values does so now.
    instances.build(side_facts(made, target))
    require_writable(dataset_path, "meta.json")
    corpus_format = _corpus_format(instances, json_format_corpus)
    made_for = {"name": instances.name, "options": options}
    with tqdm(unit="B", unit_scale=True, disable=not sys.stderr.isatty()) as bar:
        if FORMATS[corpus_format].fields:
            summary = preprocess_media(
                corpus_path,
                dataset_path,
                tokenizer=made,
                corpus_format=corpus_format,
                media_root=media_root,
                processes=processes_num,
                processor=made_for,
            )
        else:
            summary = run(
                corpus_path,
                dataset_path,
                tokenizer=made,
                tgt_tokenizer=target,
                corpus_format=corpus_format,
                processes=processes_num,
                words=words,
                processor=made_for,
                on_progress=lambda so_far: _advance(bar, so_far),
            )
    _report(summary, dataset_path)


def _preprocess_media(
    config: dict[str, Any],
    corpus_path: list[str],
    dataset_path: str,
    media_root: str | None,
) -> None:
    """As `preprocess`, for a corpus without texts: there is no tokenizer."""
    keys = tokenizer_keys() | {"tokenizer", "special_tokens"}
    planner = Planner(
        {key: value for key, value in config.items() if key not in keys}, "command line"
    )
    instances = planner.choice("data_processor", Processor)
    options = {key: config[key] for key in planner.asked() - {"data_processor"} if key in config}
    planner.finish()
    assert instances is not None
    require_writable(dataset_path, "meta.json")
    summary = preprocess_media(
        corpus_path,
        dataset_path,
        tokenizer=None,
        corpus_format=instances.part.corpus,
        media_root=media_root,
        processor={"name": instances.name, "options": options},
    )
    _report(summary, dataset_path)


def _tgt_tokenizer(
    name: str | None, special_tokens_path: str | None, described: dict[str, Any]
) -> Tokenizer | None:
    """The target side's own tokenizer, if one of its flags is given."""
    given = {key: value for key, value in described.items() if value is not None}
    if name is None and special_tokens_path is None and not given:
        return None
    source = "command line, without tgt_"
    return make_tokenizer(name or DEFAULT, special_tokens_path, given, source)


def _corpus_format(instances: Plan[Processor], json_lines: bool) -> str:
    own = instances.part.corpus
    if not json_lines or own == "jsonl":
        return own
    if own != "lines":
        raise ConfigError(
            [
                f"json_format_corpus: the processor '{instances.name}' does not read documents; "
                "leave the flag out."
            ]
        )
    return "jsonl"


def plan_data(
    config: dict[str, Any],
) -> tuple[Plan[Tokenizer], Plan[Processor], dict[str, Any]]:
    """Plans of the tokenizer and of the data processor, and the keys that the latter asked for.

    Raises:
        ConfigError: everything that is wrong with the keys.
    """
    config, notes = translate(config)
    for note in notes:
        _log.info(note)
    planner = Planner(config, "command line")
    tokens = planner.choice("tokenizer", Tokenizer)
    others = planner.asked() | {"data_processor"}
    instances = planner.choice("data_processor", Processor)
    planner.finish()
    assert tokens is not None and instances is not None
    options = {key: config[key] for key in config if key in planner.asked() - others}
    return tokens, instances, options


def _advance(bar: Any, summary: Summary) -> None:
    bar.total = summary.total_bytes
    bar.update(summary.bytes - bar.n)


def _report(summary: Summary, dataset_path: str) -> None:
    if summary.left_out:
        _log.info(
            "%d rows are not in it because their image or sound is not there; %s names them.",
            summary.left_out,
            f"{dataset_path}/{LEFT_OUT}",
        )
    if not summary.tokens:
        _log.info(
            "%s: %s documents in %.1f s.", dataset_path, f"{summary.documents:,}", summary.seconds
        )
        return
    rate = summary.total_bytes / 1e6 / max(summary.seconds, 1e-9)
    _log.info(
        "%s: %s documents, %s sentences, %s tokens (%.2f %% unknown) in %.1f s, %.1f MB/s.",
        dataset_path,
        f"{summary.documents:,}",
        f"{summary.sentences:,}",
        f"{summary.tokens:,}",
        100 * summary.unknown_rate,
        summary.seconds,
        rate,
    )
    if summary.halved_pairs:
        _log.info(
            "%d pairs are not in it because one of their texts gave no token.",
            summary.halved_pairs,
        )
    if summary.empty_sentences:
        _log.info("%d sentences gave no token and are not in it.", summary.empty_sentences)
