"""The shapes under models/, as classes of transformers with their keywords."""

import torch
from torch import nn


def bert(h, layers, heads, kind="Bert", vocab=21128, head="ForPreTraining", **more):
    return (
        kind,
        head,
        dict(
            vocab_size=vocab,
            hidden_size=h,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            intermediate_size=4 * h,
            **more,
        ),
    )


def roberta(h, layers, heads, kind="Roberta", vocab=50265):
    places = {"max_position_embeddings": 514, "type_vocab_size": 1}
    return bert(h, layers, heads, kind, vocab, "ForMaskedLM", **places)


def modernbert(h, layers, heads, inner):
    shape = {"hidden_size": h, "num_hidden_layers": layers, "num_attention_heads": heads}
    return "ModernBert", "ForMaskedLM", {"vocab_size": 50368, "intermediate_size": inner, **shape}


def gpt2(h, layers, heads):
    return "GPT2", "LMHeadModel", {"n_embd": h, "n_layer": layers, "n_head": heads}


def opt(h, layers, heads):
    shape = {"hidden_size": h, "num_hidden_layers": layers, "num_attention_heads": heads}
    return "OPT", "ForCausalLM", {"ffn_dim": 4 * h, "word_embed_proj_dim": h, **shape}


def bloom(h, layers, heads):
    return (
        "Bloom",
        "ForCausalLM",
        {"vocab_size": 250880, "hidden_size": h, "n_layer": layers, "n_head": heads},
    )


def llama(h, inner, layers, heads, kv=None, kind="Llama", vocab=32000, tied=False, **more):
    return (
        kind,
        "ForCausalLM",
        dict(
            vocab_size=vocab,
            hidden_size=h,
            intermediate_size=inner,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=kv or heads,
            tie_word_embeddings=tied,
            **more,
        ),
    )


def qwen3(h, inner, layers, heads, tied=False):
    return llama(h, inner, layers, heads, 8, "Qwen3", 151936, tied, head_dim=128)


def seq2seq(kind, h, layers, heads, **more):
    sides = ("encoder", "decoder")
    return (
        kind,
        more.pop("head"),
        dict(
            d_model=h,
            **{f"{side}_layers": layers for side in sides},
            **{f"{side}_attention_heads": heads for side in sides},
            **{f"{side}_ffn_dim": 4 * h for side in sides},
            **more,
        ),
    )


def bart(h, layers, heads):
    return seq2seq("Bart", h, layers, heads, head="ForConditionalGeneration")


def pegasus(h, layers, heads):
    more = {"head": "ForConditionalGeneration", "vocab_size": 96103}
    return seq2seq("Pegasus", h, layers, heads, **more)


def transformer(h, layers, heads):
    """Marian is the Transformer of 2017; like ours with a table for each language."""
    more = {"head": "MTModel", "vocab_size": 37000, "pad_token_id": 0, "decoder_start_token_id": 0}
    apart = {"share_encoder_decoder_embeddings": False, "decoder_vocab_size": 37000}
    return seq2seq("Marian", h, layers, heads, **more, **apart)


def speech_to_text(h, inner, heads):
    sides = {"encoder_ffn_dim": inner, "decoder_ffn_dim": inner}
    heads_of = {"encoder_attention_heads": heads, "decoder_attention_heads": heads}
    return "Speech2Text", "ForConditionalGeneration", {"d_model": h, **sides, **heads_of}


def wav2vec2_large():
    return bert(
        1024,
        24,
        16,
        "Wav2Vec2",
        vocab=32,
        do_stable_layer_norm=True,
        feat_extract_norm="layer",
        conv_bias=True,
        codevector_dim=768,
        proj_codevector_dim=768,
    )


def t5(h, inner, layers, heads, *, below=None, head=64, vocab=32128, act="gated-gelu"):
    return (
        "T5",
        "ForConditionalGeneration",
        {
            "vocab_size": vocab,
            "d_model": h,
            "d_kv": head,
            "d_ff": inner,
            "num_layers": layers,
            "num_decoder_layers": below or layers,
            "num_heads": heads,
            "feed_forward_proj": act,
            "tie_word_embeddings": act == "relu",
        },
    )


def t5_first(h, inner, layers, heads, head=64):
    return t5(h, inner, layers, heads, head=head, act="relu")


def byt5(h, inner, layers, below, heads):
    return t5(h, inner, layers, heads, below=below, vocab=384)


def clip(patch, text=None, image=None, features=512):
    keys = {"text_config": text or {}, "vision_config": {"patch_size": patch, **(image or {})}}
    return "CLIP", "Model", {**keys, "projection_dim": features}


def siglip(h, layers, heads, inner, size=224, patch=16, places=64):
    tower = {"hidden_size": h, "num_hidden_layers": layers, "num_attention_heads": heads}
    tower["intermediate_size"] = inner
    text = {**tower, "vocab_size": 32000, "max_position_embeddings": places, "projection_size": h}
    image = {**tower, "image_size": size, "patch_size": patch}
    return "Siglip", "Model", {"text_config": text, "vision_config": image}


def tower(h, layers, heads):
    shape = {"hidden_size": h, "num_hidden_layers": layers, "num_attention_heads": heads}
    return {**shape, "intermediate_size": 4 * h}


def vit(h, layers, heads, patch=16, kind="ViT", head="ForImageClassification", **more):
    """ViT and its kin; DeiT without its second token is one."""
    shape = {"hidden_size": h, "num_hidden_layers": layers, "num_attention_heads": heads}
    return kind, head, {**shape, "intermediate_size": 4 * h, "patch_size": patch, **more}


def mae(h, layers, heads, patch=16):
    return vit(h, layers, heads, patch, "ViTMAE", "ForPreTraining")


def beit(h, layers, heads):
    more = {"use_mask_token": True, "use_shared_relative_position_bias": True}
    return vit(h, layers, heads, 16, "Beit", "ForMaskedImageModeling", **more)


def dinov2(h, layers, heads, *, gated=False):
    kind, head, keys = vit(h, layers, heads, 14, "Dinov2", "Model", image_size=518)
    del keys["intermediate_size"]
    return kind, head, {**keys, "use_swiglu_ffn": gated}


SHAPES = {
    "albert/base": bert(768, 12, 12, "Albert", embedding_size=128),
    "albert/large": bert(1024, 24, 16, "Albert", embedding_size=128),
    "albert/xlarge": bert(2048, 24, 16, "Albert", embedding_size=128),
    "albert/xxlarge": bert(4096, 12, 16, "Albert", embedding_size=128),
    "bart/base": bart(768, 6, 12),
    "bart/large": bart(1024, 12, 16),
    "beit/base": beit(768, 12, 12),
    "beit/large": beit(1024, 24, 16),
    "bert/tiny": bert(128, 2, 2),
    "bert/mini": bert(256, 4, 4),
    "bert/small": bert(512, 4, 8),
    "bert/medium": bert(512, 8, 8),
    "bert/base": bert(768, 12, 12),
    "bert/large": bert(1024, 24, 16),
    "bert/xlarge": bert(1536, 36, 24),
    "bloom/1b1": bloom(1536, 24, 16),
    "bloom/7b1": bloom(4096, 30, 32),
    "bloom/175b": bloom(14336, 70, 112),
    "byt5/small": byt5(1472, 3584, 12, 4, 6),
    "byt5/base": byt5(1536, 3968, 18, 6, 12),
    "byt5/large": byt5(1536, 3840, 36, 12, 16),
    "byt5/xlarge": byt5(2560, 6720, 36, 12, 32),
    "byt5/xxlarge": byt5(4672, 12352, 36, 12, 64),
    "clip/base-32": clip(32),
    "clip/base-16": clip(16),
    "clip/large-14": clip(14, tower(768, 12, 12), tower(1024, 24, 16), 768),
    "deit/tiny": vit(192, 12, 3),
    "deit/small": vit(384, 12, 6),
    "deit/base": vit(768, 12, 12),
    "dinov2/small": dinov2(384, 12, 6),
    "dinov2/base": dinov2(768, 12, 12),
    "dinov2/large": dinov2(1024, 24, 16),
    "dinov2/giant": dinov2(1536, 40, 24, gated=True),
    "gpt2/config": gpt2(768, 12, 12),
    "gpt2/distil": gpt2(768, 6, 12),
    "gpt2/medium": gpt2(1024, 24, 16),
    "gpt2/large": gpt2(1280, 36, 20),
    "gpt2/xlarge": gpt2(1600, 48, 25),
    "llama/7b": llama(4096, 11008, 32, 32),
    "llama/13b": llama(5120, 13824, 40, 40),
    "llama/33b": llama(6656, 17920, 60, 52),
    "llama/65b": llama(8192, 22016, 80, 64),
    "llama2/7b": llama(4096, 11008, 32, 32),
    "llama2/13b": llama(5120, 13824, 40, 40),
    "llama2/70b": llama(8192, 28672, 80, 64, 8),
    "llama3/8b": llama(4096, 14336, 32, 32, 8, vocab=128256),
    "llama3/70b": llama(8192, 28672, 80, 64, 8, vocab=128256),
    "llama3/405b": llama(16384, 53248, 126, 128, 8, vocab=128256),
    "mae/base": mae(768, 12, 12),
    "mae/large": mae(1024, 24, 16),
    "mae/huge": mae(1280, 32, 16, 14),
    "megatron/bert_3.9B": bert(2560, 48, 40, "MegatronBert", 30522),
    "megatron/gpt2_8.3B": gpt2(3072, 72, 24),
    "mistral/7b": llama(4096, 14336, 32, 32, 8, "Mistral"),
    "modernbert/base": modernbert(768, 22, 12, 1152),
    "modernbert/large": modernbert(1024, 28, 16, 2624),
    "opt/125m": opt(768, 12, 12),
    "opt/1.3b": opt(2048, 24, 32),
    "opt/2.7b": opt(2560, 32, 32),
    "opt/6.7b": opt(4096, 32, 32),
    "opt/13b": opt(5120, 40, 40),
    "opt/30b": opt(7168, 48, 56),
    "opt/66b": opt(9216, 64, 72),
    "opt/175b": opt(12288, 96, 96),
    "pegasus/base": pegasus(768, 12, 12),
    "pegasus/large": pegasus(1024, 16, 16),
    "prefixlm/base": gpt2(768, 12, 12),
    "qwen2/0.5b": llama(896, 4864, 24, 14, 2, "Qwen2", 151936, tied=True),
    "qwen2/1.5b": llama(1536, 8960, 28, 12, 2, "Qwen2", 151936, tied=True),
    "qwen2/7b": llama(3584, 18944, 28, 28, 4, "Qwen2", 152064),
    "qwen2/72b": llama(8192, 29568, 80, 64, 8, "Qwen2", 152064),
    "qwen3/0.6b": qwen3(1024, 3072, 28, 16, tied=True),
    "qwen3/1.7b": qwen3(2048, 6144, 28, 16, tied=True),
    "qwen3/4b": qwen3(2560, 9728, 36, 32, tied=True),
    "qwen3/8b": qwen3(4096, 12288, 36, 32),
    "qwen3/14b": qwen3(5120, 17408, 40, 40),
    "qwen3/32b": qwen3(5120, 25600, 64, 64),
    "roberta/base": roberta(768, 12, 12),
    "roberta/large": roberta(1024, 24, 16),
    "siglip/base-16": siglip(768, 12, 12, 3072),
    "siglip/large-16": siglip(1024, 24, 16, 4096, size=256),
    "siglip/so400m-14": siglip(1152, 27, 16, 4304, patch=14, places=16),
    "s2t/small": speech_to_text(256, 2048, 4),
    "s2t/medium": speech_to_text(512, 2048, 8),
    "s2t/large": speech_to_text(1024, 4096, 16),
    "t5/small": t5_first(512, 2048, 6, 8),
    "t5/base": t5_first(768, 3072, 12, 12),
    "t5/large": t5_first(1024, 4096, 24, 16),
    "t5/3b": t5_first(1024, 16384, 24, 32, 128),
    "t5/11b": t5_first(1024, 65536, 24, 128, 128),
    "t5-v1_1/small": t5(512, 1024, 8, 6),
    "t5-v1_1/base": t5(768, 2048, 12, 12),
    "t5-v1_1/large": t5(1024, 2816, 24, 16),
    "t5-v1_1/xlarge": t5(2048, 5120, 24, 32),
    "t5-v1_1/xxlarge": t5(4096, 10240, 24, 64),
    "transformer/base": transformer(512, 6, 8),
    "transformer/big": transformer(1024, 6, 16),
    "ul2/20b": t5(4096, 16384, 32, 16, head=256, act="gated-silu"),
    "vit/base-16-224": vit(768, 12, 12),
    "vit/base-32-224": vit(768, 12, 12, 32),
    "vit/large-16-224": vit(1024, 24, 16),
    "vit/large-32-224": vit(1024, 24, 16, 32),
    "vit/huge-14-224": vit(1280, 32, 16, 14),
    "wav2vec2/base": bert(768, 12, 12, "Wav2Vec2", vocab=32),
    "wav2vec2/large": wav2vec2_large(),
    "xlm-roberta/base": roberta(768, 12, 12, "XLMRoberta", 250002),
    "xlm-roberta/large": roberta(1024, 24, 16, "XLMRoberta", 250002),
}


def theirs(kind, head, keys):
    import transformers

    config = getattr(transformers, f"{kind}Config")(**keys)
    with torch.device("meta"):
        model = getattr(transformers, kind + head)(config)
    if not keys.get("tie_word_embeddings", True):  # T5 is made tied whatever its configuration says
        model.lm_head.weight = nn.Parameter(model.lm_head.weight.detach())
    return model
