"""One short rule per operator: how labels flow through it, what it joins, reads and pins.

A rule takes the coupling and the operator's call, and gives the value that comes out. What has no rule pins all units
that flow into it: never a guess.
"""

from secateur.coupling import attention, moves, norms, products
from secateur.coupling.call import Call, Result, Rule, unknown
from secateur.coupling.labels import Coupling, Value, varying


def follow(coupling: Coupling, call: Call) -> Result:
    """The value that comes out of a call; an operator without a rule pins what flows into it."""
    rule = RULES.get(call.operator)
    if rule is not None:
        return rule(coupling, call)
    return unknown(coupling, call, "no rule for this operator")


def elementwise(coupling: Coupling, call: Call) -> Result:
    """Entries at the same place belong together; broadcasting included."""
    return coupling.meet(call.values, call.shape, call.operator)


def spatial(coupling: Coupling, call: Call) -> Result:
    """Pooling, resizing and triangles work along the last axes, channel by channel."""
    x = call.args[0]
    moved = set(range(len(x.shape) - _dimensions(call.operator), len(x.shape)))
    fields = []
    for field in x.fields:
        if moved & set(varying(field)):
            coupling.pin(field, call.operator, "it works along the axis that they lie on")
        else:
            fields.append(field)
    if call.shapes:
        return [Value(shape, tuple(fields)) for shape in call.shapes]
    return Value(call.shape, tuple(fields))


def fresh(coupling: Coupling, call: Call) -> Result:
    """A new tensor of the shape of another: nothing of it but its size is in it."""
    return Value(call.shape, (), frozenset(range(len(call.shape))))


def _dimensions(operator: str) -> int:
    return next((int(digit) for digit in "123" if f"{digit}d" in operator), 2)


_UNARY = """relu relu_ relu6 relu6_ elu elu_ selu selu_ celu celu_ gelu gelu_ silu silu_ mish mish_ hardswish hardswish_
hardsigmoid hardsigmoid_ hardtanh hardtanh_ leaky_relu leaky_relu_ log_sigmoid rrelu rrelu_ sigmoid sigmoid_ softplus
softshrink hardshrink tanh tanh_ threshold threshold_ dropout dropout_ alpha_dropout feature_dropout
feature_alpha_dropout abs neg exp log sqrt rsqrt square sin cos erf reciprocal clamp clamp_ clone contiguous detach
detach_ alias to _to_copy log1p expm1 sign floor ceil round logical_not bitwise_not nan_to_num
lift_fresh_copy"""
_BINARY = """add add_ sub sub_ rsub mul mul_ div div_ pow pow_ maximum minimum where lerp clamp_min clamp_max
masked_fill masked_fill_ addcmul addcdiv eq ne lt le gt ge logical_and logical_or remainder fmod atan2 copy_"""
_SHAPE = "view reshape _unsafe_view flatten unflatten squeeze unsqueeze view_as reshape_as"
_SPATIAL = """max_pool1d max_pool2d max_pool3d avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d
adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d max_pool1d_with_indices
max_pool2d_with_indices max_pool3d_with_indices _adaptive_avg_pool2d _adaptive_avg_pool3d upsample_nearest1d
upsample_nearest2d upsample_nearest3d _upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d
upsample_linear1d upsample_bilinear2d upsample_trilinear3d upsample_bicubic2d _upsample_bilinear2d_aa
_upsample_bicubic2d_aa reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d
replication_pad3d"""
_REDUCTIONS = "sum mean linalg_vector_norm amax amin max min var std var_mean logsumexp any all argmax argmin"
_CONVOLUTIONS = """conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d convolution"""

RULES: dict[str, Rule] = {
    **dict.fromkeys(f"{_UNARY} {_BINARY}".split(), elementwise),
    **dict.fromkeys(_SHAPE.split(), moves.reshape),
    **dict.fromkeys(_SPATIAL.split(), spatial),
    **dict.fromkeys(_CONVOLUTIONS.split(), products.convolution),
    **dict.fromkeys(("batch_norm", "instance_norm", "prelu"), norms.channelwise),
    **dict.fromkeys(("layer_norm", "rms_norm"), norms.layer_norm),
    **dict.fromkeys(("softmax", "log_softmax", "cumsum"), norms.softmax),
    **dict.fromkeys(_REDUCTIONS.split(), norms.total),
    **dict.fromkeys(("gru", "lstm", "rnn_tanh", "rnn_relu"), norms.recurrent),
    **dict.fromkeys(("zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full"), fresh),
    **dict.fromkeys(("t", "numpy_T"), moves.reverse),
    **dict.fromkeys(("transpose", "transpose_", "swapaxes", "mT"), moves.transpose),
    **dict.fromkeys(("matmul", "bmm", "mm"), attention.matmul),
    **dict.fromkeys(
        ("split", "split_with_sizes", "chunk", "tensor_split", "unsafe_split", "unsafe_chunk"), moves.split
    ),
    **dict.fromkeys(("index", "index_select"), moves.index),
    **dict.fromkeys(("tril", "triu"), spatial),
    "roll": moves.roll,
    "flip": moves.flip,
    **dict.fromkeys(("pad", "constant_pad_nd"), moves.pad),
    **dict.fromkeys(("expand", "expand_as", "broadcast_to"), moves.expand),
    **dict.fromkeys(("cat", "concat"), moves.concatenate),
    **dict.fromkeys(("channel_shuffle", "native_channel_shuffle"), moves.channel_shuffle),
    **dict.fromkeys(("slice", "narrow"), moves.slices),
    "linear": products.linear,
    "addmm": products.addmm,
    "embedding": products.embedding,
    "baddbmm": attention.baddbmm,
    "scaled_dot_product_attention": attention.attention,
    "group_norm": norms.group_norm,
    "permute": moves.permute,
    "movedim": moves.movedim,
    "repeat": moves.repeat,
    "repeat_interleave": moves.repeat_each,
    "glu": moves.gated,
    "stack": moves.stack,
    "unbind": moves.unbind,
    "select": moves.select,
    "pixel_shuffle": moves.pixel_shuffle,
    "pixel_unshuffle": moves.pixel_unshuffle,
    "getitem": moves.getitem,
    "type_as": moves.same,
}
