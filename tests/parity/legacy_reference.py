"""The predecessors' arithmetic once more, as plainly as possible.

Written from a description of what their code computes, not from this package: loops where they are
clearer, nothing fused, all names theirs. Weights are drawn when they are first asked for, so that
running a model also makes its checkpoint.
"""

import math
import re

import torch
from torch.nn import functional as F

DEFAULTS = {
    "remove_embedding_layernorm": False,
    "layernorm": "normal",
    "layernorm_positioning": "post",
    "feed_forward": "dense",
    "mask": "fully_visible",
    "relative_attention_buckets_num": 32,
    "pooling": "first",
    "max_seq_length": 24,
}
ACTS = {
    "gelu": F.gelu,
    "gelu_fast": lambda x: F.gelu(x, approximate="tanh"),
    "relu": torch.relu,
    "silu": F.silu,
}
HIDDEN = -10000.0
BUCKETS = "relative_attention_bias.weight"


class Reference:
    """A model of theirs with random weights.

    Args:
        config: their flat configuration.
        vocab: tokens of the vocabulary.
        seed: of the weights.
    """

    def __init__(self, config, vocab=97, seed=0):
        self.c = {**DEFAULTS, **config}
        self.c["tie_streams"] = config["embedding"] == ["dual"] and config.get("tie_weights")
        self.vocab, self.state = vocab, {}
        self.draw = torch.Generator().manual_seed(seed)

    def case(self, inputs):
        """What they return for ``in.…`` tensors, as a parity pack holds it."""
        out = {}
        if self.c["embedding"] == ["dual"]:
            embedded = [self.stream(k, inputs[f"in.src.{k}"], inputs[f"in.seg.{k}"]) for k in "01"]
            hidden = [
                self.on(f"stream_{k}").encoder(f"encoder.encoder_{k}", vectors, seg)
                for k, vectors, seg in zip(
                    "01", embedded, (inputs["in.seg.0"], inputs["in.seg.1"]), strict=True
                )
            ]
            for k in (0, 1):
                out |= {f"out.embedding_{k}": embedded[k], f"out.encoder_{k}": hidden[k]}
            losses = {"clr": self.clr(hidden, [inputs["in.seg.0"], inputs["in.seg.1"]])}
        else:
            src, seg = inputs["in.src"], inputs["in.seg"]
            embedded = self.embedding("embedding", src, seg)
            hidden = self.encoder("encoder", embedded, seg)
            out |= {"out.embedding": embedded, "out.encoder": hidden}
            if self.c.get("decoder"):
                seg = inputs["in.tgt_seg"]
                target = self.embedding("tgt_embedding", inputs["in.tgt_in"], seg)
                hidden = out["out.decoder"] = self.decoder(hidden, inputs["in.seg"], target)
            losses = {name: getattr(self, name)(hidden, seg, inputs) for name in self.c["target"]}
        several = len(losses) > 1
        for name, result in losses.items():
            head = f"out.loss.{name}" if several else "out.loss"
            parts = result if isinstance(result, tuple) else None
            out |= (
                {head: result} if parts is None else {f"{head}.{n}": x for n, x in enumerate(parts)}
            )
        return {**inputs, **out}

    # Weights

    def weight(self, name, *shape, mean=0.0):
        """The tensor of a name, drawn at the first call."""
        if self.c["tie_streams"]:  # the modules of stream 1 are those of stream 0
            first = re.sub(r"(encoder|embedding)_1\.", r"\1_0.", name)
            if first in self.state:
                self.state[name] = self.state[first]
        if name not in self.state:
            self.state[name] = mean + 0.2 * torch.randn(shape, generator=self.draw)
        assert self.state[name].shape == shape, name
        return self.state[name]

    def on(self, stream):
        """The same weights under the configuration of a stream."""
        other = Reference.__new__(Reference)
        other.__dict__ = {**self.__dict__, "c": {**self.c, **self.c[stream]}}
        return other

    def linear(self, name, x, width, bias=True):
        y = x @ self.weight(f"{name}.weight", width, x.shape[-1]).T
        return y + self.weight(f"{name}.bias", width) if bias else y

    def norm(self, name, x, kind):
        width = x.shape[-1]
        if kind in ("t5", "rms"):
            scale = self.weight(f"{name}.weight", width, mean=1.0)
            return scale * x / (x.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt()
        centred = x - x.mean(-1, keepdim=True)
        deviation = (centred.pow(2).sum(-1, keepdim=True) / (width - 1)).sqrt()
        scale = self.weight(f"{name}.gamma", width, mean=1.0)
        return scale * centred / (deviation + 1e-6) + self.weight(f"{name}.beta", width)

    # Embeddings

    def embedding(self, side, ids, seg):
        c, length, width = self.c, ids.shape[1], self.c["emb_size"]
        key = "tgt_embedding" if side == "tgt_embedding" else "embedding"
        names = c[key]
        if side == "tgt_embedding" and c.get("share_embedding"):
            self.state["tgt_embedding.word.embedding.weight"] = self.state[
                "embedding.word.embedding.weight"
            ]
        if "speech" in names:
            x = self.subsampled(f"{side}.speech.conv.conv_layers", ids)
            length = x.shape[1]
        else:
            x = self.weight(f"{side}.word.embedding.weight", self.vocab, width)[ids]
        if "sinusoidalpos" in c["embedding"]:
            x = x * math.sqrt(width)
        if "pos" in names:
            x = x + self.weight(f"{side}.pos.embedding.weight", c["max_seq_length"], width)[:length]
        if "seg" in names:
            x = x + self.weight(f"{side}.seg.embedding.weight", 3, width)[seg]
        if "sinusoidalpos" in names:
            x = x + sinusoids(length, width, halves="speech" in c["embedding"])
        if not c["remove_embedding_layernorm"]:
            x = self.norm(f"{side}.layer_norm", x, "normal")
        return x

    def subsampled(self, name, frames):
        """Convolutions over [B, F, M], each two frames on; half of the channels open the others."""
        c, x = self.c, frames
        for n, (kernel, channels) in enumerate(
            zip(c["conv_kernel_sizes"], c["conv_channels"], strict=True)
        ):
            weight = self.weight(f"{name}.{n}.0.weight", channels, x.shape[-1], kernel)
            bias = self.weight(f"{name}.{n}.0.bias", channels)
            padded = F.pad(x, (0, 0, kernel // 2, kernel // 2))
            windows = padded.unfold(1, kernel, 2)  # [B, L, channels, kernel]
            x = torch.einsum("blik,oik->blo", windows, weight) + bias
            x = x[..., : channels // 2] * x[..., channels // 2 :].sigmoid()
        return x

    def stream(self, k, ids, seg):
        inner = self.on(f"stream_{k}")
        x = inner.embedding(f"embedding.dual.embedding_{k}", ids, seg)
        if not inner.c["remove_embedding_layernorm"]:
            x = self.norm(f"embedding.dual.stream_{k}_layer_norm", x, "normal")
        return x

    # Encoders

    def encoder(self, prefix, x, seg):
        kind = self.c["encoder"]
        if kind == "transformer":
            return self.transformer(prefix, x, seg)
        if kind == "gatedcnn":
            return self.gatedcnn(prefix, x)
        width, layers = self.c["hidden_size"], self.c["layers_num"]
        if kind.startswith("bi"):
            ahead, back = f"{prefix}.rnn_forward", f"{prefix}.rnn_backward"
            half, kind = width // 2, kind[2:]
            flipped = x.flip(1)
            for n in range(layers):
                x = self.recurrence(kind, ahead, n, "", x, half)
                flipped = self.recurrence(kind, back, n, "", flipped, half)
            return torch.cat((x, flipped.flip(1)), -1)
        for n in range(layers):
            if self.c.get("bidirectional"):
                ahead = self.recurrence(kind, f"{prefix}.rnn", n, "", x, width // 2)
                back = self.recurrence(
                    kind, f"{prefix}.rnn", n, "_reverse", x.flip(1), width // 2
                ).flip(1)
                x = torch.cat((ahead, back), -1)
            else:
                x = self.recurrence(kind, f"{prefix}.rnn", n, "", x, width)
        return x

    def recurrence(self, kind, name, n, end, x, width):
        """One layer of one direction, token after token."""
        gates = {"rnn": 1, "lstm": 4, "gru": 3}[kind] * width
        wi = self.weight(f"{name}.weight_ih_l{n}{end}", gates, x.shape[-1])
        wh = self.weight(f"{name}.weight_hh_l{n}{end}", gates, width)
        bi = self.weight(f"{name}.bias_ih_l{n}{end}", gates)
        bh = self.weight(f"{name}.bias_hh_l{n}{end}", gates)
        h = c = x.new_zeros(x.shape[0], width)
        made = []
        for t in range(x.shape[1]):
            i, s = x[:, t] @ wi.T + bi, h @ wh.T + bh
            if kind == "rnn":
                h = torch.tanh(i + s)
            elif kind == "lstm":
                take, keep, new, show = (i + s).split(width, -1)
                c = keep.sigmoid() * c + take.sigmoid() * new.tanh()
                h = show.sigmoid() * c.tanh()
            else:
                (ri, zi, ni), (rs, zs, ns) = i.split(width, -1), s.split(width, -1)
                z = (zi + zs).sigmoid()
                h = (1 - z) * torch.tanh(ni + (ri + rs).sigmoid() * ns) + z * h
            made.append(h)
        return torch.stack(made, 1)

    def gatedcnn(self, prefix, x):
        c, width, k = self.c, self.c["hidden_size"], self.c["kernel_size"]

        def convolve(name, second, x, shape):
            """A 2-d convolution over tokens x features, with two biases."""
            y = F.conv2d(
                x, self.weight(f"{name}.weight", *shape), self.weight(f"{name}.bias", width)
            )
            return y + self.weight(second, 1, width, 1, 1)

        first = (width, 1, k, x.shape[-1])
        x = F.pad(x, (0, 0, k - 1, 0))[:, None]
        gate = convolve(f"{prefix}.gate_1", f"{prefix}.gate_b1", x, first).sigmoid()
        x = kept = convolve(f"{prefix}.conv_1", f"{prefix}.conv_b1", x, first) * gate
        for n in range(c["layers_num"] - 1):
            padded, shape = F.pad(x, (0, 0, k - 1, 0)), (width, width, k, 1)
            gate = convolve(f"{prefix}.gate.{n}", f"{prefix}.gate_b.{n}", padded, shape).sigmoid()
            x = convolve(f"{prefix}.conv.{n}", f"{prefix}.conv_b.{n}", padded, shape) * gate
            if (n + 1) % c["block_size"] == 0:
                x = kept = x + kept
        return x[..., 0].transpose(1, 2)

    def transformer(self, prefix, x, seg):
        c, length = self.c, x.shape[1]
        if c.get("factorized_embedding_parameterization"):
            x = self.linear(f"{prefix}.linear", x, c["hidden_size"])
        mask, before = encoder_mask(c["mask"], seg), None
        for n in range(c["layers_num"]):
            name = f"{prefix}.transformer" + ("" if c.get("parameter_sharing") else f".{n}")
            bias = 0
            if c.get("relative_position_embedding"):
                # the table beside the layers is there as well, and nobody reads it
                size = (c["relative_attention_buckets_num"], c["heads_num"])
                self.weight(f"{prefix}.relative_pos_emb.{BUCKETS}", *size)
                table = self.weight(f"{prefix}.transformer.0.relative_pos_emb.{BUCKETS}", *size)
                self.state[f"{name}.relative_pos_emb.{BUCKETS}"] = table
                bias = relative(table, length, both=True)
            attended = lambda y, name=name, bias=bias, before=before: self.attention(  # noqa: E731
                f"{name}.self_attn", y, y, mask, bias, before
            )
            kind = c["layernorm"]
            if c["layernorm_positioning"] == "post":
                y, scores = attended(x)
                x = self.norm(f"{name}.layer_norm_1", x + y, kind)
                x = self.norm(f"{name}.layer_norm_2", x + self.feed_forward(name, x), kind)
            else:
                y, scores = attended(self.norm(f"{name}.layer_norm_1", x, kind))
                x = x + y
                x = x + self.feed_forward(name, self.norm(f"{name}.layer_norm_2", x, kind))
            before = scores if c.get("has_residual_attention") else None
        if c["layernorm_positioning"] == "pre":
            x = self.norm(f"{prefix}.layer_norm", x, c["layernorm"])
        return x

    def attention(self, name, x, memory, mask, bias=0, before=None, rotate=True):
        c, heads = self.c, self.c["heads_num"]
        size, plain = (
            c.get("attention_head_size", c["hidden_size"] // heads),
            not c.get("remove_transformer_bias"),
        )
        few = c.get("local_kv_heads_num", heads)

        def split(part, y, number):
            y = self.linear(f"{name}.linear_layers.{part}", y, number * size, plain)
            return y.view(*y.shape[:2], number, size).transpose(1, 2)

        q, k, v = split(0, x, heads), split(1, memory, few), split(2, memory, few)
        k, v = (y.repeat_interleave(heads // few, 1) for y in (k, v))
        if rotate and c.get("rotary_position_embedding"):
            q, k = rotated(q), rotated(k)
        scores = q @ k.transpose(-1, -2) + bias
        if not c.get("remove_attention_scale"):
            scores = scores / math.sqrt(size)
        scores = scores + mask
        if before is not None:
            scores = scores + before
        y = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
        return self.linear(f"{name}.final_linear", y, c["hidden_size"], plain), scores

    def feed_forward(self, name, x):
        c, plain = self.c, not self.c.get("remove_transformer_bias")
        name, width, act = f"{name}.feed_forward", c["feedforward_size"], ACTS[c["hidden_act"]]
        up = self.linear(f"{name}.linear_1", x, width, plain)
        if c["feed_forward"] == "gated":
            up = act(self.linear(f"{name}.linear_gate", x, width, plain)) * up
        else:
            up = act(up)
        return self.linear(f"{name}.linear_2", up, c["hidden_size"], plain)

    def decoder(self, memory, seg, x):
        c, length, kind = self.c, x.shape[1], self.c["layernorm"]
        own = torch.full((length, length), HIDDEN).triu(1)
        cross = HIDDEN * (seg == 0)[:, None, None, :].float()
        bias = 0
        if c.get("relative_position_embedding"):
            size = (c["relative_attention_buckets_num"], c["heads_num"])
            table = self.weight(f"decoder.self_pos_emb.{BUCKETS}", *size)
            bias = relative(table, length, both=False)
        for n in range(c["decoder_layers_num"]):
            name = f"decoder.transformer_decoder.{n}"
            blocks = (
                lambda y, m=name: self.attention(f"{m}.self_attn", y, y, own, bias, None, False)[0],
                lambda y, m=name: self.attention(
                    f"{m}.context_attn", y, memory, cross, 0, None, False
                )[0],
                lambda y, m=name: self.feed_forward(m, y),
            )
            for number, block in enumerate(blocks, start=1):
                norm = f"{name}.layer_norm_{number}"
                if c["layernorm_positioning"] == "post":
                    x = self.norm(norm, x + block(x), kind)
                else:
                    x = x + block(self.norm(norm, x, kind))
        if c["layernorm_positioning"] == "pre":
            x = self.norm("decoder.layer_norm", x, kind)
        return x

    # Targets

    def mlm(self, hidden, seg, inputs):
        label = inputs.get("in.tgt.mlm", inputs.get("in.tgt")).flatten()
        width = self.c[
            "emb_size" if self.c.get("factorized_embedding_parameterization") else "hidden_size"
        ]
        x = ACTS[self.c["hidden_act"]](self.linear("target.mlm.linear_1", hidden, width))
        x = self.norm("target.mlm.layer_norm", x, "normal").flatten(0, 1)[label > 0]
        if self.c.get("tie_weights"):
            self.state["target.mlm.linear_2.weight"] = self.state["embedding.word.embedding.weight"]
        logits = self.linear("target.mlm.linear_2", x, self.vocab)
        label = label[label > 0]
        right = (logits.argmax(-1) == label).sum().float()
        return F.cross_entropy(logits, label), right, torch.tensor(float(len(label)))

    def lm(self, hidden, seg, inputs):
        if self.c.get("tie_weights") and not self.c.get("share_embedding"):
            side = "tgt_embedding" if self.c.get("decoder") else "embedding"
            self.state["target.lm.output_layer.weight"] = self.state[
                f"{side}.word.embedding.weight"
            ]
        bias = self.c.get("has_lmtarget_bias", False)
        logits = self.linear("target.lm.output_layer", hidden, self.vocab, bias)
        real = seg > (1 if self.c.get("prefix_lm_loss") else 0)
        share = self.c.get("label_smoothing", 0.0)
        expected = torch.full_like(logits[real], share / (self.vocab - 1))  # of each other token
        expected.scatter_(1, inputs["in.tgt"][real][:, None], 1 - share)
        return -(expected * logits[real].log_softmax(-1)).sum(-1).mean()

    def cls(self, hidden, seg, inputs):
        label = inputs.get("in.tgt.cls", inputs.get("in.tgt"))
        return self.classify(
            "cls", pooled(hidden, seg, self.c["pooling"]), label, self.c["labels_num"]
        )

    def sp(self, hidden, seg, inputs):
        return self.classify("sp", hidden[:, 0], inputs.get("in.tgt.sp", inputs.get("in.tgt")), 2)

    def classify(self, name, x, label, number):
        x = torch.tanh(self.linear(f"target.{name}.linear_1", x, x.shape[-1]))
        logits = self.linear(f"target.{name}.linear_2", x, number)
        return F.cross_entropy(logits, label), (logits.argmax(-1) == label).sum()

    def clr(self, hidden, segs):
        features = []
        for k in (0, 1):
            how = self.on(f"stream_{k}").c["pooling"]
            x = pooled(hidden[k], segs[k], how)
            if self.c.get("projection"):
                name = f"target.clr.encoder_{k}_projection"
                x = x @ self.weight(name, x.shape[-1], self.c["feature_size"])
            features.append(x / x.norm(dim=-1, keepdim=True))
        logits = self.weight("target.clr.logit_scale").exp() * features[0] @ features[1].T
        label = torch.arange(len(logits))
        loss = (F.cross_entropy(logits, label) + F.cross_entropy(logits.T, label)) / 2
        return loss, (logits.argmax(-1) == label).sum()


def pooled(hidden, seg, how):
    """Vectors times their segment number, then pooled."""
    times = seg[..., None].float()
    hidden = hidden * times
    if how == "mean":
        return hidden.sum(1) / times.sum(1)
    if how == "last":
        return torch.stack(
            [row[(s != 0).nonzero().max()] for row, s in zip(hidden, seg, strict=True)]
        )
    if how == "max":
        return (hidden + (times - 1) * 1e9).amax(1)
    return hidden[:, 0]


def encoder_mask(kind, seg):
    """[B, 1, L, L] what is added to the scores."""
    batch, length = seg.shape
    visible = (seg > 0)[:, None, :].expand(batch, length, length)
    before = torch.ones(length, length).tril()
    if kind == "causal":
        visible = before[None].expand(batch, -1, -1) > 0
    elif kind != "fully_visible":
        prefix = (seg == 1)[:, None, :].int()
        visible = prefix + visible.int() + before.int() >= 2
    return HIDDEN * (~visible).float()[:, None]


def relative(table, length, *, both):
    """[1, heads, L, L] of a table [buckets, heads]."""
    number, rows = table.shape[0], []
    for query in range(length):
        row = []
        for key in range(length):
            distance, base, count = key - query, 0, number
            if both:
                count //= 2
                base, distance = (count if distance > 0 else 0), abs(distance)
            else:
                distance = max(-distance, 0)
            exact = count // 2
            if distance >= exact:
                log = math.log(distance / exact) / math.log(128 / exact)
                distance = min(exact + int(log * (count - exact)), count - 1)
            row.append(base + distance)
        rows.append(row)
    return table[torch.tensor(rows)].permute(2, 0, 1)[None]


def rotated(x):
    """Adjacent pairs as complex numbers, turned by position."""
    length, size = x.shape[-2:]
    frequency = 10000.0 ** (-torch.arange(0, size, 2) / size)
    angle = torch.outer(torch.arange(length).float(), frequency)
    turned = torch.view_as_complex(x.contiguous().view(*x.shape[:-1], -1, 2)) * torch.polar(
        torch.ones_like(angle), angle
    )
    return torch.view_as_real(turned).flatten(-2)


def sinusoids(length, width, *, halves):
    """[L, E] rows 2, 3, … of a table of sines and cosines, interleaved or one after the other."""
    half = width // 2
    table = torch.zeros(length, width)
    for row in range(length):
        for n in range(half):
            angle = (row + 2) * math.exp(-n * math.log(10000) / (half - 1))
            sine, cosine = (n, half + n) if halves else (2 * n, 2 * n + 1)
            table[row, sine], table[row, cosine] = math.sin(angle), math.cos(angle)
    return table
