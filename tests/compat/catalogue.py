"""The architectures that the library is judged on, at their real sizes with random weights: tables and builders."""

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

Kind = Literal["cnn", "transformer", "other"]
Example = Tensor | dict[str, Tensor]

IMAGE = 224
ROWS = 2
TOKENS = 16
PADDED = 4


@dataclass(frozen=True)
class Entry:
    """One architecture: where it comes from, what it is, and how it is made and called."""

    name: str
    kind: Kind
    build: Callable[[], nn.Module]
    example: Callable[[], Example]


ZOO: dict[Kind, str] = {
    "cnn": "lenet resnet20 resnet32 resnet44 resnet56 resnet110 resnet18 resnet50 vgg16 vgg16_bn densenet40 "
    "mobilenet_v1 mobilenet_v2",
}

TORCHVISION: dict[Kind, str] = {
    "cnn": "alexnet vgg16 vgg16_bn resnet18 resnet50 resnext50_32x4d wide_resnet50_2 densenet121 googlenet "
    "inception_v3 squeezenet1_0 squeezenet1_1 shufflenet_v2_x1_0 mobilenet_v2 mobilenet_v3_small "
    "mobilenet_v3_large mnasnet1_0 efficientnet_b0 efficientnet_v2_s regnet_x_400mf regnet_y_400mf "
    "convnext_tiny segmentation.deeplabv3_resnet50 segmentation.fcn_resnet50 "
    "segmentation.lraspp_mobilenet_v3_large detection.ssd300_vgg16 "
    "detection.ssdlite320_mobilenet_v3_large",
    "transformer": "vit_b_16 swin_t swin_v2_t maxvit_t",
}

TIMM: dict[Kind, str] = {
    "cnn": "resnet50 resnext50_32x4d seresnet50 resnetv2_50 res2net50_26w_4s resnest14d skresnet18 ecaresnet26t "
    "densenet121 vgg16_bn dpn68 dla34 hrnet_w18 cspresnet50 cspdarknet53 darknet53 ese_vovnet19b_dw "
    "gernet_s hgnet_tiny inception_v3 inception_v4 inception_resnet_v2 xception41 repvgg_a0 mobileone_s0 "
    "selecsls42b nf_resnet50 nfnet_l0 regnetx_008 regnety_008 mobilenetv1_100 mobilenetv2_100 "
    "mobilenetv3_large_100 mobilenetv4_conv_small mnasnet_100 efficientnet_b0 tf_efficientnetv2_b0 "
    "mixnet_s fbnetc_100 hardcorenas_a lcnet_050 tinynet_a rexnet_100 ghostnet_100 ghostnetv2_100 "
    "convnext_tiny convnextv2_nano inception_next_tiny convmixer_768_32 starnet_s1 mambaout_femto",
    "transformer": "vit_base_patch16_224 deit_small_patch16_224 deit3_small_patch16_224 beit_base_patch16_224 "
    "eva02_tiny_patch14_224 cait_s24_224 crossvit_15_240 swin_tiny_patch4_window7_224 "
    "swinv2_tiny_window8_256 pit_s_224 twins_svt_small pvt_v2_b0 levit_128 visformer_small "
    "xcit_small_12_p16_224 volo_d1_224 davit_tiny mvitv2_tiny nest_tiny coatnet_0_rw_224 "
    "maxvit_tiny_rw_224 mobilevit_s mobilevitv2_100 edgenext_small efficientformer_l1 efficientvit_b0 "
    "fastvit_t8 tiny_vit_5m_224 caformer_s18 gcvit_xxtiny hiera_tiny_224",
    "other": "mixer_b16_224 resmlp_12_224 gmlp_s16_224 poolformer_s12 poolformerv2_s12 focalnet_tiny_srf sequencer2d_s",
}

# Class, its configuration's class, and the settings in which the base size differs from the configuration's own.
TRANSFORMERS: dict[str, tuple[Kind, str, str, dict[str, Any]]] = {
    "bert": ("transformer", "BertForSequenceClassification", "BertConfig", {}),
    "bert_masked": ("transformer", "BertForMaskedLM", "BertConfig", {}),
    "roberta": ("transformer", "RobertaForSequenceClassification", "RobertaConfig", {"vocab_size": 50265}),
    "distilbert": ("transformer", "DistilBertForSequenceClassification", "DistilBertConfig", {}),
    "albert": (
        "transformer",
        "AlbertForSequenceClassification",
        "AlbertConfig",
        {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072},
    ),
    "electra": (
        "transformer",
        "ElectraForSequenceClassification",
        "ElectraConfig",
        {"embedding_size": 768, "hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072},
    ),
    "deberta_v2": (
        "transformer",
        "DebertaV2ForSequenceClassification",
        "DebertaV2Config",
        {
            "hidden_size": 768,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "intermediate_size": 3072,
            "relative_attention": True,
            "position_buckets": 256,
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "pos_att_type": ["p2c", "c2p"],
            "position_biased_input": False,
        },
    ),
    "gpt2": ("transformer", "GPT2LMHeadModel", "GPT2Config", {"use_cache": False}),
    "gpt2_classifier": (
        "transformer",
        "GPT2ForSequenceClassification",
        "GPT2Config",
        {"use_cache": False, "pad_token_id": 0},
    ),
    "t5_encoder": (
        "transformer",
        "T5EncoderModel",
        "T5Config",
        {"d_model": 768, "d_ff": 3072, "num_layers": 12, "num_heads": 12},
    ),
    "vit": ("transformer", "ViTForImageClassification", "ViTConfig", {}),
    "deit": ("transformer", "DeiTForImageClassification", "DeiTConfig", {}),
    "swin": ("transformer", "SwinForImageClassification", "SwinConfig", {}),
    "segformer": ("transformer", "SegformerForImageClassification", "SegformerConfig", {}),
    "segformer_masks": ("transformer", "SegformerForSemanticSegmentation", "SegformerConfig", {}),
    "convnext": ("cnn", "ConvNextForImageClassification", "ConvNextConfig", {}),
    "resnet": ("cnn", "ResNetForImageClassification", "ResNetConfig", {}),
    "regnet": ("cnn", "RegNetForImageClassification", "RegNetConfig", {}),
    "mobilenet_v1": ("cnn", "MobileNetV1ForImageClassification", "MobileNetV1Config", {}),
    "mobilenet_v2": ("cnn", "MobileNetV2ForImageClassification", "MobileNetV2Config", {}),
    "efficientnet": (
        "cnn",
        "EfficientNetForImageClassification",
        "EfficientNetConfig",
        {"width_coefficient": 1.0, "depth_coefficient": 1.0, "image_size": IMAGE, "hidden_dim": 1280},
    ),
}

SIZES = {
    "torchvision:inception_v3": 299,
    "torchvision:swin_v2_t": 256,
    "torchvision:detection.ssd300_vgg16": 300,
    "torchvision:detection.ssdlite320_mobilenet_v3_large": 320,
    "timm:inception_v3": 299,
    "timm:inception_v4": 299,
    "timm:inception_resnet_v2": 299,
    "timm:xception41": 299,
    "timm:crossvit_15_240": 240,
    "timm:swinv2_tiny_window8_256": 256,
}


def entries() -> dict[str, Entry]:
    """All architectures by name: SOURCE:NAME."""
    found = [Entry(f"zoo:{n}", kind, *_of_zoo(n)) for kind, names in ZOO.items() for n in names.split()]
    found += [_of_torchvision(n, kind) for kind, names in TORCHVISION.items() for n in names.split()]
    found += [_of_timm(n, kind) for kind, names in TIMM.items() for n in names.split()]
    found += [_of_transformers(name, *row) for name, row in TRANSFORMERS.items()]
    return {entry.name: entry for entry in found}


def images(size: int) -> Tensor:
    """Random images."""
    return torch.randn(ROWS, 3, size, size, generator=torch.Generator().manual_seed(0))


def _of_zoo(name: str) -> tuple[Callable[[], nn.Module], Callable[[], Example]]:
    def zoo() -> Any:
        return importlib.import_module("secateur.zoo")

    return lambda: zoo().build(name), lambda: zoo().example(name)


def _of_torchvision(name: str, kind: Kind) -> Entry:
    full = f"torchvision:{name}"

    def build() -> nn.Module:
        models = importlib.import_module("torchvision.models")
        settings: dict[str, Any] = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
        part, _, last = name.rpartition(".")
        if part == "segmentation":
            return models.segmentation.__dict__[last](weights=None, weights_backbone=None)
        if part == "detection":
            return models.detection.__dict__[last](weights=None, weights_backbone=None).backbone
        return models.get_model(name, weights=None, **settings)

    return Entry(full, kind, build, lambda: images(SIZES.get(full, IMAGE)))


def _of_timm(name: str, kind: Kind) -> Entry:
    full = f"timm:{name}"
    return Entry(
        full,
        kind,
        lambda: importlib.import_module("timm").create_model(name, pretrained=False),
        lambda: images(SIZES.get(full, IMAGE)),
    )


def _of_transformers(name: str, kind: Kind, model: str, config: str, settings: dict[str, Any]) -> Entry:
    def build() -> nn.Module:
        transformers = importlib.import_module("transformers")
        return getattr(transformers, model)(getattr(transformers, config)(**settings))

    is_image = "Image" in model or "Segmentation" in model
    return Entry(
        f"transformers:{name}",
        kind,
        build,
        (lambda: {"pixel_values": images(IMAGE)}) if is_image else words,
    )


def words() -> dict[str, Tensor]:
    """Random tokens; the second row is shorter and padded."""
    generator = torch.Generator().manual_seed(0)
    mask = torch.ones(ROWS, TOKENS, dtype=torch.long)
    mask[1, -PADDED:] = 0
    return {"input_ids": torch.randint(5, 1000, (ROWS, TOKENS), generator=generator), "attention_mask": mask}


if __name__ == "__main__":
    sys.stdout.write("\n".join(entries()) + "\n")
