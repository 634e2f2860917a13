from uer.zoo.files import is_whole, needed

SHARDS = [f"model-0000{n}-of-00003.safetensors" for n in (1, 2, 3)]


def test_a_repository_of_several_frameworks():
    names = {
        *(".gitattributes", "README.md", "64.tflite", "flax_model.msgpack", "onnx/model.onnx"),
        *("config.json", "generation_config.json", "merges.txt", "vocab.json", "tokenizer.json"),
        *("model.safetensors", "model.fp16.safetensors", "pytorch_model.bin", "rust_model.ot"),
        *("onnx/config.json", "tf_model.h5", "adapter_model.safetensors", "training_args.bin"),
    }
    assert needed(names) == [
        *("config.json", "generation_config.json", "merges.txt", "tokenizer.json", "vocab.json"),
        "model.safetensors",
    ]


def test_tokenizers_of_sentencepiece_and_sentence_vectors():
    texts = [
        "1_Pooling/config.json",
        "2_Dense/model.safetensors",
        "config.json",
        "config_sentence_transformers.json",
        "modules.json",
        "sentence_bert_config.json",
        "sentencepiece.bpe.model",
        "spiece.model",
    ]
    assert needed([*texts, "pytorch_model.bin", "data_config.json"]) == [
        *texts,
        "pytorch_model.bin",
    ]


def test_weights_in_parts_with_their_index():
    names = ["config.json", "model.safetensors.index.json", *SHARDS, "consolidated.safetensors"]
    pickled = ["pytorch_model-00001-of-00001.bin", "pytorch_model.bin.index.json"]
    assert needed([*reversed(names), *pickled]) == names[:-1]
    assert needed(["config.json", *pickled]) == ["config.json", *reversed(pickled)]


def test_a_folder_is_whole_with_its_configuration_and_all_parts():
    assert is_whole(["config.json", *SHARDS]) and is_whole(["config.json", "pytorch_model.bin"])
    for missing in ("config.json", *SHARDS):
        assert not is_whole([name for name in ["config.json", *SHARDS] if name != missing])
    assert not is_whole(["config.json", "vocab.txt"]) and needed(["config.json"]) == []
