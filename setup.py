"""Packaging; `pip install -e .` for work on the toolkit, extras for what not everybody needs."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "uer/__init__.py").read_text(encoding="utf-8"))
assert VERSION is not None

VISION = ["torchvision", "pillow>=10.1"]
PARQUET = ["pyarrow>=15"]
AUDIO = ["soundfile>=0.12", "kaldi-native-fbank>=1.19", "soxr>=0.5"]
LORA = ["peft>=0.15"]
HUB = ["huggingface_hub>=1.0"]  # transformers 5 brings it, too
TEST = ["pytest>=8", "hypothesis>=6.100", "transformers>=5", "scikit-learn>=1.4", *HUB]
EXTRAS = {
    "deepspeed": ["deepspeed>=0.19"],
    "vision": VISION,
    "audio": AUDIO,
    "parquet": PARQUET,
    "hub": HUB,
    "lora": LORA,
    "zh": ["jieba"],
    "tasks": ["scikit-learn>=1.4", "seqeval", "sacrebleu", "jiwer", "pytorch-crf"],
    "export": ["onnx", "onnxruntime"],
    "log": ["tensorboard"],
    "wandb": ["wandb"],
    "test": TEST,
    "dev": [
        *TEST,
        *VISION,
        *AUDIO,
        *PARQUET,
        *LORA,
        "jieba",
        "jiwer",
        "tensorboard",
        "ruff>=0.16",
        "pyright",
    ],
}

# The configurations under models/ travel inside the package: `uer inspect bert/base` works
# wherever the toolkit is installed.
MODELS = sorted({str(file.parent.relative_to(HERE)) for file in (HERE / "models").rglob("*.yaml")})

setup(
    name="uer",
    version=VERSION[1],
    description="A modular toolkit for pre-training models from configuration files",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=[
        *find_packages(include=["uer", "uer.*"]),
        *(f"uer.{m.replace('/', '.')}" for m in MODELS),
    ],
    package_dir={f"uer.{m.replace('/', '.')}": m for m in MODELS},
    package_data={
        "uer.zoo": ["models.yaml"],
        **{f"uer.{m.replace('/', '.')}": ["*.yaml"] for m in MODELS},
    },
    install_requires=[
        "torch>=2.6",
        "numpy>=1.26",
        "tokenizers>=0.21",
        "sentencepiece>=0.2.3",
        "safetensors>=0.5",
        "pyyaml>=6",
        "pydantic>=2.7",
        "tqdm>=4.66",
    ],
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["uer=uer.cli.main:console"]},
)
