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
    """

    name: str
    build: Callable[[], nn.Module]
    shape: tuple[int, int, int] = (224, 224, 3)
    options: Mapping[str, Any] | None = None

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
        {"embedding_size": 32, "hidden_sizes": [128, 128, 256, 256], "depths": [1, 1, 2, 1]},
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
    "CvtForImageClassification": ("CvtConfig", {}),
    "PvtV2ForImageClassification": ("PvtV2Config", {"hidden_sizes": [16, 32, 80, 96], "depths": [1, 1, 1, 1]}),
    "HieraForImageClassification": ("HieraConfig", {"embed_dim": 24, "depths": [1, 1, 2, 1]}),
    "FocalNetForImageClassification": ("FocalNetConfig", {"embed_dim": 24, "depths": [1, 1, 2, 1]}),
    "DPTForDepthEstimation": (
        "DPTConfig",
        {**_VIT, "num_hidden_layers": 4, "image_size": 224, "backbone_out_indices": [0, 1, 2, 3]},
    ),
}

_OPEN_CLIP = ("RN50", "ViT-S-32", "convnext_tiny")
_SEGMENTATION = ("Unet", "FPN", "Linknet", "PSPNet", "MAnet")
_CHANNELS = ("resnet18 of 1 channel", "resnet18 of 2 channels", "resnet18 of 5 channels")


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
        return models.get_model(name, weights=None, **options, **({"weights_backbone": None} if segmenting else {}))

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


def _channels(name: str) -> Entry:
    channels = int(name.split()[2])

    def build() -> nn.Module:
        timm = importlib.import_module("timm")
        network: nn.Module = timm.create_model("resnet18", pretrained=False, in_chans=channels)
        return network

    return Entry(f"channels/{name}", build, (96, 96, channels))


def _video(images: torch.Tensor) -> torch.Tensor:
    """Repeats an image as a film of eight frames, (N, C, T, H, W)."""
    return images[:, :, None].expand(-1, -1, 8, -1, -1)


def _wave(images: torch.Tensor) -> torch.Tensor:
    """Reads the rows of a gray image as a waveform, (N, 1, samples)."""
    return images.flatten(2)


def _spectrum(images: torch.Tensor) -> torch.Tensor:
    """Reads a gray image as a spectrogram, (N, times, frequencies)."""
    return images[:, 0]


class _Wave(nn.Sequential):
    """A small network for waveforms, as those for raw audio are built."""

    def __init__(self) -> None:
        layers: list[nn.Module] = []
        for before, after, stride in ((1, 16, 4), (16, 32, 4), (32, 64, 4)):
            layers += [nn.Conv1d(before, after, 9, stride, 4), nn.BatchNorm1d(after), nn.ReLU()]
        super().__init__(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(64, 10))


class _Spectrum(nn.Module):
    """A transformer for spectrograms."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(64, 48)
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(48, 4, 96, batch_first=True), 2)
        self.head = nn.Linear(48, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.head(self.encoder(self.embed(x)).mean(1))
        return found


def _film(name: str) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        network: nn.Module = getattr(importlib.import_module("torchvision.models.video"), name)(weights=None)
        return network

    return build


# Name -> (builder, image shape, adapter, shape that the adapter makes).
_OTHER_INPUTS: Mapping[str, tuple[Callable[[], nn.Module], tuple[int, int, int], Any, tuple[int, ...]]] = {
    "r3d_18": (_film("r3d_18"), (64, 64, 3), _video, (3, 8, 64, 64)),
    "mc3_18": (_film("mc3_18"), (64, 64, 3), _video, (3, 8, 64, 64)),
    "r2plus1d_18": (_film("r2plus1d_18"), (64, 64, 3), _video, (3, 8, 64, 64)),
    "waveform": (_Wave, (64, 64, 1), _wave, (1, 4096)),
    "spectrogram": (_Spectrum, (64, 64, 1), _spectrum, (64, 64)),
}


def _other_input(name: str) -> Entry:
    build, shape, adapter, made = _OTHER_INPUTS[name]
    return Entry(f"other inputs/{name}", build, shape, {"adapter": adapter, "input_shape": made})


_SOURCES: Mapping[str, tuple[Callable[[str], Entry], Sequence[str]]] = {
    "torchvision": (_torchvision, [*_TORCHVISION.split(), *_TORCHVISION_SEGMENTATION.split()]),
    "timm": (_timm, _TIMM.split()),
    "transformers": (_huggingface, list(_HUGGINGFACE)),
    "open_clip": (_open_clip, _OPEN_CLIP),
    "segmentation_models_pytorch": (_segmentation, _SEGMENTATION),
    "channels": (_channels, _CHANNELS),
    "other inputs": (_other_input, tuple(_OTHER_INPUTS)),
}


def names() -> list[str]:
    """Returns the names of all networks, `source/name`, without importing their packages."""
    return [f"{source}/{name}" for source, (_, listed) in _SOURCES.items() for name in listed]


def entry(name: str) -> Entry:
    """Returns a network by its name."""
    source, _, own = name.partition("/")
    return _SOURCES[source][0](own)
