"""Operators that multiply and add nothing worth counting: entry by entry, over windows, or not at all."""

import torch
from torch._ops import OpOverload

_ENTRIES = """_assert_async _assert_tensor_metadata _functional_assert_async _prelu_kernel _to_copy alpha_dropout clone
complex copy cumprod cumsum data detach dropout feature_alpha_dropout feature_dropout fill glu hardswish lift
lift_fresh_copy log_sigmoid negative outer polar prelu requires_grad rrelu type_as zero"""
_COMPARED = """__and__ __iand__ __ior__ __ixor__ __lshift__ __or__ __rshift__ __xor__ absolute allclose arccos arccosh
arcsin arcsinh arctan arctan2 arctanh divide fix greater greater_equal isclose isin isreal less less_equal multiply
not_equal subtract"""
_NORMS = """_batch_norm_no_update _fused_rms_norm _log_softmax _native_batch_norm_legit_no_training _safe_softmax
_softmax _weight_norm _weight_norm_interface batch_norm cosine_similarity cross_entropy_loss cudnn_batch_norm group_norm
instance_norm layer_norm linalg_norm linalg_vector_norm local_response_norm log_softmax native_batch_norm
native_group_norm native_layer_norm norm renorm rms_norm softmax"""
_REDUCTIONS = """all amax amin aminmax any argmax argmin count_nonzero cummax cummin diff kthvalue logcumsumexp
logsumexp max mean median min mode mse_loss nanmean nanmedian nansum prod std std_mean sum sum_to_size trace var
var_mean"""
_POOLS = """_adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d
adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d avg_pool1d avg_pool2d avg_pool3d fractional_max_pool2d
fractional_max_pool3d max_pool1d max_pool1d_with_indices max_pool2d max_pool2d_with_indices max_pool3d
max_pool3d_with_indices max_unpool2d max_unpool3d"""
_RESAMPLED = """_upsample_bicubic2d_aa _upsample_bilinear2d_aa _upsample_nearest_exact1d _upsample_nearest_exact2d
_upsample_nearest_exact3d affine_grid_generator grid_sampler grid_sampler_2d grid_sampler_3d upsample_bicubic2d
upsample_bilinear2d upsample_linear1d upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_trilinear3d"""
_LOOKED_UP = """_embedding_bag _unsafe_index argsort argwhere bincount bucketize embedding embedding_bag
embedding_renorm gather index index_add index_copy index_fill index_put index_reduce index_select masked_fill
masked_scatter masked_select msort nonzero nonzero_static one_hot put scatter scatter_add scatter_reduce searchsorted
select_scatter slice_scatter sort take take_along_dim topk unique_consecutive unique_dim where"""
_ARRANGED = """_reshape_copy _unsafe_view alias_copy as_strided atleast_1d atleast_2d atleast_3d block_diag
broadcast_tensors cartesian_prod cat channel_shuffle col2im column_stack concat concatenate constant_pad_nd diag
diag_embed diagonal_scatter dstack expand_copy fft_fftshift fft_ifftshift flip fliplr flipud hstack im2col meshgrid
narrow_copy native_channel_shuffle pad permute_copy pixel_shuffle pixel_unshuffle reflection_pad1d reflection_pad2d
reflection_pad3d repeat repeat_interleave replication_pad1d replication_pad2d replication_pad3d roll rot90 row_stack
split_with_sizes_copy squeeze stack swapaxes swapdims t tile transpose tril triu unbind_copy unsafe_chunk unsafe_split
unsafe_split_with_sizes unsqueeze view_copy vstack"""
_CREATED = """arange bernoulli empty empty_like empty_permuted empty_strided eye full full_like linspace logspace
new_empty new_empty_strided new_full new_ones new_zeros normal ones ones_like rand rand_like randint randint_like randn
randn_like randperm scalar_tensor tril_indices triu_indices uniform zeros zeros_like"""
_FREE = frozenset(
    " ".join((_ENTRIES, _COMPARED, _NORMS, _REDUCTIONS, _POOLS, _RESAMPLED, _LOOKED_UP, _ARRANGED, _CREATED)).split()
)


def is_free(operator: OpOverload, name: str) -> bool:
    """Whether an operator, whose name lacks the mark of those that work in place, counts as nothing.

    torch says so itself of what works entry by entry, and of what only looks at the same memory in another way.
    """
    return torch.Tag.pointwise in operator.tags or name in _FREE or _is_view(operator)


def _is_view(operator: OpOverload) -> bool:
    returns = operator._schema.returns
    return bool(returns) and all(r.alias_info is not None and not r.alias_info.is_write for r in returns)
