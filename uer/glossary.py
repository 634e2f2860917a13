"""Keys that several parts share, each with its one meaning.

A part that needs one of these takes the alias as its annotation. A key that belongs to one part
only is annotated there; give it a new name rather than a second meaning.
"""

from __future__ import annotations

from typing import Annotated, Literal

MaskKind = Literal["fully_visible", "causal", "causal_with_prefix"]

# Sizes
HiddenSize = Annotated[int, "width of the hidden states"]
EmbSize = Annotated[int, "width of the embeddings"]
LayersNum = Annotated[int, "number of layers"]
HeadsNum = Annotated[int, "attention heads of a layer"]
AttentionHeadSize = Annotated[
    int | None, "width of one attention head; by default hidden_size / heads_num"
]
KvHeadsNum = Annotated[
    int | None, "heads of keys and values, each shared by several query heads; by default heads_num"
]
FeedForwardSize = Annotated[int, "inner width of the feed-forward block"]
MaxSeqLength = Annotated[int, "positions the model knows; rows may not be longer"]
PositionOffset = Annotated[
    int, "row of the first position; rows before it are not used (RoBERTa, BART: 2)"
]
ScaleEmbedding = Annotated[bool, "vectors of tokens and frames times the root of their width"]
RelativeBuckets = Annotated[int, "buckets of relative distances"]
RelativeMaxDistance = Annotated[int, "distances from here on share a bucket"]

# Images
ImageHeight = Annotated[int, "height of the images in pixels"]
ImageWidth = Annotated[int, "width of the images in pixels"]
PatchSize = Annotated[int, "side of the square patches that an image is cut into, in pixels"]
ChannelsNum = Annotated[int, "channels of an image: 3 colours, or 1"]
ImageMaskRate = Annotated[float, "share of an image's patches that are hidden"]
ClassToken = Annotated[bool, "a learnt vector stands before the patches and sums the image up"]
RegionSize = Annotated[int, "width of the features of an image's regions"]
BoxSize = Annotated[int, "numbers that say of a region where, and what, it is"]

# Regularisation
Dropout = Annotated[float, "dropout rate of embeddings, attention outputs and feed-forward outputs"]
DropPath = Annotated[
    float, "rate at which a row skips the last layer's blocks; falls to 0 at the first layer"
]
AttentionDropout = Annotated[float, "dropout rate of attention probabilities"]
LabelSmoothing = Annotated[float, "share of the probability spread over all classes in the loss"]

# Choices inside layers
HiddenAct = Annotated[
    Literal["gelu", "gelu_fast", "quick_gelu", "relu", "silu", "linear"], "activation function"
]
LayernormEps = Annotated[float, "constant under the root of a norm"]
LayernormPositioning = Annotated[
    Literal["pre", "post"], "norm before each block (pre) or after the residual sum (post)"
]
RemoveTransformerBias = Annotated[bool, "linear maps of the layers without bias"]
QkvBias = Annotated[
    bool | None, "query, key and value maps have a bias; by default unless remove_transformer_bias"
]
RemoveAttentionScale = Annotated[bool, "scores are not divided by the root of the head's width"]
ParameterSharing = Annotated[bool, "one layer's parameters serve all layers"]
Mask = Annotated[MaskKind, "which tokens self-attention may see"]
Pooling = Annotated[
    Literal["first", "last", "mean", "max", "patches", "legacy_last", "legacy_mean"],
    "how a document's states become one vector",
]
ProjectionHiddenSize = Annotated[int, "inner width of the head that makes vectors to compare"]
ProjectionSize = Annotated[int, "width of the vectors that views are compared by"]
TieStreams = Annotated[bool, "both streams are one: one embedding and one encoder serve them"]
Factorized = Annotated[
    bool | None, "a linear map between embeddings and hidden states; by default where widths differ"
]

# Sound
AudioFeatureSize = Annotated[int, "filter banks of an acoustic frame"]
SpectrogramPatch = Annotated[list[int], "[frames, filter banks] of a patch"]
ConvChannels = Annotated[list[int], "channels that each convolution of the front end makes"]
ConvKernelSizes = Annotated[list[int], "frames or samples that each convolution reads at once"]
ConvStrides = Annotated[list[int] | None, "steps of each convolution; by default the front end's"]
FeaturePenaltyWeight = Annotated[
    float, "weight of the mean square of the front end's features in the loss"
]

# Data
SeqLength = Annotated[int, "tokens of one side that the model sees at once"]
TgtSeqLength = Annotated[int, "tokens of the target side that the model sees at once"]
CodesNum = Annotated[int, "codes of the image tokenizer"]
