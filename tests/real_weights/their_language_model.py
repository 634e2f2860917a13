"""What transformers makes of a GGUF file; called with FOLDER FILE PLACE.

Reads PLACE/texts.json. Writes folders that ``from_pretrained`` opens, PLACE/float32 and
PLACE/bfloat16; the logits of every text in float32 arithmetic, PLACE/<type>.safetensors; and the
ids, PLACE/ids.json.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

torch.set_num_threads(1)
folder, file, place = sys.argv[1], sys.argv[2], Path(sys.argv[3])
texts = json.loads((place / "texts.json").read_text(encoding="utf-8"))
tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=file)
ids = [tokenizer(text).input_ids for text in texts]
(place / "ids.json").write_text(json.dumps(ids), encoding="utf-8")
read = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32)
# What was read from GGUF refuses to be saved; the same weights in a new model do not.
config = read.config.to_dict()
del config["quantization_config"]
model = type(read)(type(read.config)(**config))
model.load_state_dict(read.state_dict())
for dtype in ("float32", "bfloat16"):
    model.to(getattr(torch, dtype)).save_pretrained(place / dtype)
    tokenizer.save_pretrained(place / dtype)
    opened = AutoModelForCausalLM.from_pretrained(place / dtype, dtype=torch.float32)
    with torch.no_grad():
        logits = {str(n): opened(torch.tensor([one])).logits[0] for n, one in enumerate(ids)}
    save_file(logits, place / f"{dtype}.safetensors")
