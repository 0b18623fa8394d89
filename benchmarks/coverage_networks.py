"""The networks of `coverage.py`: how each is built, with random weights, and which images it takes."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from lucid_port import modelzoo
from lucid_port.modelzoo.vision_base import Model


@dataclass(frozen=True)
class Entry:
    """A network to wrap.

    Attributes:
        name: its name in the table, `source/name`.
        build: builds the network with random weights.
        shape: (height, width, channels) of its images.
        options: further arguments of `from_torch`.
        open: opens the network by its name, as a user would; None to wrap what `build` returns.
    """

    name: str
    build: Callable[[], nn.Module]
    shape: tuple[int, int, int] = (224, 224, 3)
    options: Mapping[str, Any] | None = None
    open: Callable[[], Model] | None = None

    def model(self, network: nn.Module) -> Model:
        """Wraps the network."""
        return modelzoo.from_torch(
            network, image_value_range=(-1, 1), image_shape=self.shape, **(dict(self.options or {}))
        )


_TORCHVISION = """alexnet convnext_tiny densenet121 efficientnet_b0 efficientnet_v2_s googlenet inception_v3 maxvit_t
    mnasnet0_5 mobilenet_v2 mobilenet_v3_small regnet_x_400mf regnet_y_400mf resnet18 resnext50_32x4d
    shufflenet_v2_x0_5 squeezenet1_0 swin_t swin_v2_t vgg11 vgg11_bn vit_b_16 wide_resnet50_2"""
_TORCHVISION_SEGMENTATION = "fcn_resnet50 deeplabv3_mobilenet_v3_large lraspp_mobilenet_v3_large"

# The smallest network of each module of timm, by its number of parameters.
_TIMM = """beit_base_patch16_224 lambda_resnet50ts mobileone_s1 cait_xxs24_224 coat_tiny convit_tiny convmixer_768_32
    convnext_atto_rms cpubone_nano crossvit_tiny_240 csatv2 cs3darknet_focus_s cspnext_tiny davit_tiny
    deit_tiny_patch16_224 densenet121 dla60x_c dpn68 edgenext_xx_small efficientformer_l1 efficientformerv2_s0
    tinynet_d efficientvim_m1 efficientvit_b0 efficientvit_m0 vit_tiny_patch16_dinov3_qkvb fasternet_t0 fastvit_s12
    focalnet_tiny_srf gcvit_xxtiny ghostnet_050 hardcorenas_b hgnetv2_b0 hiera_tiny_224 sam2_hiera_tiny
    hrnet_w18_small iformer_t inception_next_atto inception_resnet_v2 inception_v3 inception_v4 lcnetv2_small
    levit_128 lowformer_b0 mambaout_femto maxvit_pico_rw_256 poolformer_s12 gmixer_12_224 mobilenetv3_small_050
    mobilenetv5_base mobilevit_xxs mvitv2_tiny naflexvit_base_patch16_siglip nasnetalarge nest_tiny nextvit_small
    nf_regnet_b0 pit_xs_224 pnasnet5large pvt_v2_b0 rdnet_tiny regnetx_002 repghostnet_050 repvit_m1 res2net50_14w_8s
    resnest50d_1s4x24d resnet18 resnetv2_18 rexnet_100 selecsls42 legacy_seresnet18 sequencer2d_s shvit_s1 skresnet18
    starnet_s050 swiftformer_xs swin_tiny_patch4_window7_224 swinv2_tiny_window8_256 swinv2_cr_tiny_224
    tiny_vit_5m_224 tnt_s_legacy_patch16_224 tresnet_m twins_svt_small vgg11 visformer_tiny vit_tiny_patch16_224
    vit_tiny_r_s16_p8_224 vit_srelpos_small_patch16_224 samvit_base_patch16_224 vitamin_small_224 volo_d1_224
    ese_vovnet19b_slim_dw legacy_xception xception41p xcit_nano_12_p8_224"""

# Configurations small enough for a laptop; the code of the network is that of the full size.
_VIT = {"hidden_size": 96, "num_hidden_layers": 3, "num_attention_heads": 3, "intermediate_size": 192}
_HUGGINGFACE: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "ViTForImageClassification": ("ViTConfig", _VIT),
    "DeiTForImageClassification": ("DeiTConfig", _VIT),
    "BeitForImageClassification": ("BeitConfig", _VIT),
    "Data2VecVisionForImageClassification": ("Data2VecVisionConfig", _VIT),
    "Dinov2ForImageClassification": ("Dinov2Config", {**_VIT, "image_size": 224, "patch_size": 16}),
    "Dinov2WithRegistersForImageClassification": (
        "Dinov2WithRegistersConfig",
        {**_VIT, "image_size": 224, "patch_size": 16},
    ),
    "ViTMAEModel": ("ViTMAEConfig", {**_VIT, "mask_ratio": 0.0}),
    "ViTMSNForImageClassification": ("ViTMSNConfig", _VIT),
    "IJepaForImageClassification": ("IJepaConfig", _VIT),
    "YolosForObjectDetection": ("YolosConfig", {**_VIT, "image_size": (224, 224), "num_detection_tokens": 10}),
    "CLIPVisionModel": ("CLIPVisionConfig", _VIT),
    "SiglipVisionModel": ("SiglipVisionConfig", _VIT),
    "SwinForImageClassification": ("SwinConfig", {"embed_dim": 24, "depths": [1, 1, 2, 1], "num_heads": [1, 2, 4, 8]}),
    "Swinv2ForImageClassification": (
        "Swinv2Config",
        {"embed_dim": 24, "depths": [1, 1, 2, 1], "num_heads": [1, 2, 4, 8]},
    ),
    "ConvNextForImageClassification": ("ConvNextConfig", {"hidden_sizes": [16, 32, 64, 96], "depths": [1, 1, 2, 1]}),
    "ConvNextV2ForImageClassification": (
        "ConvNextV2Config",
        {"hidden_sizes": [16, 32, 64, 96], "depths": [1, 1, 2, 1]},
    ),
    "ResNetForImageClassification": (
        "ResNetConfig",
        {"embedding_size": 16, "hidden_sizes": [16, 32, 64, 96], "depths": [1, 1, 2, 1]},
    ),
    "RegNetForImageClassification": (
        "RegNetConfig",
        {"embedding_size": 16, "hidden_sizes": [16, 32, 64, 96], "depths": [1, 1, 2, 1], "groups_width": 8},
    ),
    "BitForImageClassification": (
        "BitConfig",
        {"embedding_size": 32, "hidden_sizes": [64, 64, 128, 128], "depths": [1, 1, 2, 1]},
    ),
    "SegformerForImageClassification": (
        "SegformerConfig",
        {"hidden_sizes": [16, 32, 64, 96], "depths": [1, 1, 1, 1], "num_attention_heads": [1, 2, 4, 8]},
    ),
    "PvtForImageClassification": (
        "PvtConfig",
        {"hidden_sizes": [16, 32, 64, 96], "depths": [1, 1, 1, 1], "num_attention_heads": [1, 2, 4, 8]},
    ),
    "MobileViTForImageClassification": ("MobileViTConfig", {}),
    "MobileNetV2ForImageClassification": ("MobileNetV2Config", {}),
    "PoolFormerForImageClassification": (
        "PoolFormerConfig",
        {"hidden_sizes": [16, 32, 64, 96], "depths": [1, 1, 2, 1]},
    ),
    "LevitForImageClassification": ("LevitConfig", {}),
    "CvtForImageClassification": ("CvtConfig", {"embed_dim": [16, 48, 96], "depth": [1, 1, 2], "num_heads": [1, 3, 6]}),
    "FocalNetForImageClassification": ("FocalNetConfig", {"embed_dim": 24, "depths": [1, 1, 2, 1]}),
    "DPTForDepthEstimation": (
        "DPTConfig",
        {**_VIT, "num_hidden_layers": 4, "image_size": 224, "backbone_out_indices": [0, 1, 2, 3]},
    ),
}

_OPEN_CLIP = ("RN50", "ViT-S-32", "convnext_tiny")
_SEGMENTATION = ("Unet", "FPN", "Linknet", "PSPNet", "MAnet")
_CHANNELS = (1, 2, 5)


class _Feature(nn.Module):
    """The picture tower of a network for pictures and texts."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.visual = network.visual

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.visual(image)
        return found


def _torchvision(name: str) -> Entry:
    def build() -> nn.Module:
        models = importlib.import_module("torchvision.models")
        options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
        segmenting = name in _TORCHVISION_SEGMENTATION.split()
        return models.get_model(
            name, weights=None, **options, **({"weights_backbone": None} if segmenting else {})
        )

    size = 299 if name == "inception_v3" else 256 if name.endswith("swin_v2_t") else 224
    return Entry(f"torchvision/{name}", build, (size, size, 3))


def _timm(name: str) -> Entry:
    timm = importlib.import_module("timm")
    channels, height, width = timm.get_pretrained_cfg(name).input_size
    return Entry(f"timm/{name}", lambda: timm.create_model(name, pretrained=False), (height, width, channels))


def _huggingface(name: str) -> Entry:
    config, options = _HUGGINGFACE[name]

    def build() -> nn.Module:
        transformers = importlib.import_module("transformers")
        network: nn.Module = getattr(transformers, name)(getattr(transformers, config)(**options))
        return network

    transformers = importlib.import_module("transformers")
    size = getattr(getattr(transformers, config)(**options), "image_size", None) or 224
    height, width = (size, size) if isinstance(size, int) else tuple(size)
    return Entry(f"transformers/{name}", build, (height, width, 3))


def _open_clip(name: str) -> Entry:
    def build() -> nn.Module:
        library = importlib.import_module("open_clip")
        return _Feature(library.create_model(name, pretrained=None))

    return Entry(f"open_clip/{name}", build)


def _segmentation(name: str) -> Entry:
    def build() -> nn.Module:
        library = importlib.import_module("segmentation_models_pytorch")
        network: nn.Module = getattr(library, name)("resnet18", encoder_weights=None, classes=4)
        return network

    return Entry(f"segmentation_models_pytorch/{name}", build, (128, 128, 3))


def _channels(channels: int) -> Entry:
    def build() -> nn.Module:
        timm = importlib.import_module("timm")
        network: nn.Module = timm.create_model("resnet18", pretrained=False, in_chans=channels)
        return network

    return Entry(f"timm/resnet18 of {channels} channel{'s' * (channels > 1)}", build, (96, 96, channels))


def entries() -> Sequence[Entry]:
    """Returns all networks of the table."""
    return [
        *map(_torchvision, [*_TORCHVISION.split(), *_TORCHVISION_SEGMENTATION.split()]),
        *map(_timm, _TIMM.split()),
        *map(_huggingface, _HUGGINGFACE),
        *map(_open_clip, _OPEN_CLIP),
        *map(_segmentation, _SEGMENTATION),
        *map(_channels, _CHANNELS),
    ]
