"""The catalogue against Lucid's own classes: what its `models_map` said of each model, run and written down by hand."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

import pytest

from lucid_port.modelzoo import nets_factory, vision_models
from lucid_port.modelzoo.catalogue import catalogue, label_lists
from lucid_port.modelzoo.files import READABLE

BGR = ((-103.939, -116.779, -123.68), (151.061, 138.221, 131.32))
TF = (-117, 138)
UNIT = (-1, 1)
STD, DUM, ALT = "ImageNet_standard", "ImageNet_standard_with_dummy", "ImageNet_alternate"


@dataclass(frozen=True)
class Said:
    """What Lucid says of a model.

    Attributes:
        path: of its graph in Lucid's bucket.
        size: of its images, which are square.
        range: of its input.
        input: name of its input.
        depths: of its layers, in order; "64x3" is three layers of 64.
        dense: how many layers, the last ones but for InceptionV1's heads, have the tag "dense".
        names: some layers' names, by position.
        labels: name of its list of labels.
    """

    path: str
    size: int
    range: tuple
    input: str
    depths: str
    dense: int
    names: dict[int, str]
    labels: str | None = DUM


HEADS = "64x2 192 256 480 508 512x2 528 832x2 1024 128 1024 1008 128 1024 1008x2"
GOOGLENET = "64x2 192 256 480 512x3 528 832x2 1024"
GOOGLENET_NAMES = {0: "conv1_7x7_s2/conv1_7x7_s2", 5: "inception_4a_output", 11: "inception_5b_output", 12: "prob"}
ALEXNET_NAMES = {0: "conv5/concat", 1: "conv5/conv5", 2: "fc6/fc6", 4: "prob"}
V1 = {0: "InceptionV1/InceptionV1/Conv2d_1a_7x7/Relu", 5: "InceptionV1/InceptionV1/Mixed_4b/concat",
      12: "InceptionV1/Logits/Predictions/Softmax"}  # fmt: skip
MOBILE = {0: "MobilenetV1/MobilenetV1/Conv2d_0/Relu6", 7: "MobilenetV1/MobilenetV1/Conv2d_7_pointwise/Relu6",
          14: "MobilenetV1/Predictions/Softmax"}  # fmt: skip
MOBILE2 = {0: "MobilenetV2/expanded_conv_2/add", 4: "MobilenetV2/expanded_conv_8/add",
           9: "MobilenetV2/expanded_conv_15/add", 10: "MobilenetV2/Predictions/Softmax"}  # fmt: skip

LUCID = {
    "AlexNet": Said("other_models/AlexNet.pb", 227, BGR, "Placeholder", "96 128x2 384 192x2 128x2 4096x2 1000", 3,
                    {0: "Conv2D", 7: "Conv2D_7", 8: "Relu", 9: "Relu_1", 10: "Softmax"}, STD),
    "AlexNet_caffe_Places365": Said("caffe_models/AlexNet_places365.pb", 227, BGR, "input", "256x2 4096x2 365", 3,
                                    ALEXNET_NAMES, "Places365"),
    "CaffeNet_caffe": Said("caffe_models/CaffeNet.pb", 227, BGR, "data", "256x2 4096x2 1000", 3, ALEXNET_NAMES, STD),
    "Clip_ResNet50_4x": Said("other_models/Clip_ResNet50_4x.pb", 288, (0, 255), "input_image", "", 0, {}, None),
    "InceptionResnetV2_slim": Said(
        "slim_models/InceptionResnetV2.pb", 299, UNIT, "input", "32x2 64 80 192 320x21 1088x41 2080x20 1536 1001", 1,
        {0: "InceptionResnetV2/InceptionResnetV2/Conv2d_1a_3x3/Relu",
         6: "InceptionResnetV2/InceptionResnetV2/Repeat/block35_1/add",
         7: "InceptionResnetV2/InceptionResnetV2/Repeat/block35_1/Relu",
         25: "InceptionResnetV2/InceptionResnetV2/Repeat/block35_10/Relu",
         26: "InceptionResnetV2/InceptionResnetV2/Mixed_6a/concat",
         66: "InceptionResnetV2/InceptionResnetV2/Repeat_1/block17_20/Relu",
         85: "InceptionResnetV2/InceptionResnetV2/Repeat_2/block8_9/Relu",
         86: "InceptionResnetV2/InceptionResnetV2/Block8/add", 88: "InceptionResnetV2/Logits/Predictions"}),
    "InceptionV1": Said("other_models/InceptionV1.pb", 224, TF, "input", HEADS, 5,
                        {0: "conv2d0", 5: "mixed4a", 12: "head0_bottleneck", 13: "nn0", 18: "softmax2"}, ALT),
    "InceptionV1_adv_finetuned": Said("other_models/InceptionV1_adv_finetuned.pb", 224, TF, "input", HEADS, 5,
                                      {0: "conv2d0", 11: "mixed5b", 18: "softmax2"}, ALT),
    "InceptionV1_caffe": Said("caffe_models/InceptionV1.pb", 224, BGR, "data", f"{GOOGLENET} 1000", 1, GOOGLENET_NAMES,
                              STD),
    "InceptionV1_caffe_Places205": Said(
        "caffe_models/InceptionV1_places205.pb", 224, BGR, "data", f"{GOOGLENET} 205", 1, GOOGLENET_NAMES, "Places205"),
    "InceptionV1_caffe_Places365": Said(
        "caffe_models/InceptionV1_places365.pb", 224, BGR, "data", f"{GOOGLENET} 365", 1, GOOGLENET_NAMES, "Places365"),
    "InceptionV1_slim": Said("slim_models/InceptionV1.pb", 224, UNIT, "input", f"{GOOGLENET} 1001", 1, V1),
    "InceptionV2_slim": Said("slim_models/InceptionV2.pb", 224, UNIT, "input", "64x2 192 256 320 576x5 1024x3 1001", 1,
                             {5: "InceptionV2/InceptionV2/Mixed_4a/concat", 13: "InceptionV2/Predictions/Softmax"}),
    "InceptionV3_slim": Said(
        "slim_models/InceptionV3.pb", 299, UNIT, "input", "32x2 64 80 192 256 288x2 768x5 1280 2048x2 1001", 1,
        {4: "InceptionV3/InceptionV3/Conv2d_4a_3x3/Relu", 12: "InceptionV3/InceptionV3/Mixed_6e/concat",
         16: "InceptionV3/Predictions/Softmax"}),
    "InceptionV4_slim": Said(
        "slim_models/InceptionV4.pb", 299, UNIT, "input", "32x2 64 160 192 384x5 1024x8 1536x4 1001", 1,
        {3: "InceptionV4/InceptionV4/Mixed_3a/concat", 17: "InceptionV4/InceptionV4/Mixed_6h/concat",
         22: "InceptionV4/Logits/Predictions"}),
    "MobilenetV1_025_slim": Said("slim_models/MobilenetV1025.pb", 224, UNIT, "input",
                                 "8 16 32x2 64x2 128x6 256x2 1001", 1, MOBILE),
    "MobilenetV1_050_slim": Said("slim_models/MobilenetV1050.pb", 224, UNIT, "input",
                                 "16 32 64x2 128x2 256x6 512x2 1001", 1, MOBILE),
    "MobilenetV1_slim": Said("slim_models/MobilenetV1.pb", 224, UNIT, "input",
                             "32 64 128x2 256x2 512x6 1024x2 1001", 1, MOBILE),
    "MobilenetV2_10_slim": Said("slim_models/MobilenetV2_10.pb", 224, UNIT, "input", "24 32x2 64x3 96x2 160x2 1001", 1,
                                MOBILE2),
    "MobilenetV2_14_slim": Said("slim_models/MobilenetV2_14.pb", 224, UNIT, "input", "32 48x2 88x3 136x2 224x2 1001", 1,
                                MOBILE2),
    "NasnetLarge_slim": Said("slim_models/NasnetLarge.pb", 331, UNIT, "input",
                             "96 168 336 1008x6 1344 2016x6 2688 4032x6 1001", 1,
                             {0: "conv0/Conv2D", 1: "cell_stem_0/cell_output/concat", 3: "cell_0/cell_output/concat",
                              9: "reduction_cell_0/cell_output/concat", 16: "reduction_cell_1/cell_output/concat",
                              22: "cell_17/cell_output/concat", 23: "final_layer/predictions"}),
    "NasnetMobile_slim": Said("slim_models/NasnetMobile.pb", 224, UNIT, "input",
                              "32 44 88 264x4 352 528x4 704 1056x4 1001", 1,
                              {7: "reduction_cell_0/cell_output/concat", 16: "cell_11/cell_output/concat",
                               17: "final_layer/predictions"}),
    "PnasnetLarge_slim": Said("slim_models/PnasnetLarge.pb", 331, UNIT, "input",
                              "96 270 540 1080x4 2160x4 4320x4 1001", 1,
                              {2: "cell_stem_1/cell_output/concat", 14: "cell_11/cell_output/concat",
                               15: "final_layer/predictions"}),
    "PnasnetMobile_slim": Said("slim_models/PnasnetMobile.pb", 224, UNIT, "input",
                               "32 65 135 270x3 540x3 1080x3 1001", 1,
                               {3: "cell_0/cell_output/concat", 11: "cell_8/cell_output/concat",
                                12: "final_layer/predictions"}),
    "VGG16_caffe": Said("caffe_models/VGG16.pb", 224, BGR, "input", "64x2 128x2 256x3 512x6 4096x2 1000", 3,
                        {0: "conv1_1/conv1_1", 12: "conv5_3/conv5_3", 13: "fc6/fc6", 15: "prob"}, STD),
    "VGG19_caffe": Said("caffe_models/VGG19.pb", 224, BGR, "input", "64x2 128x2 256x4 512x8 4096x2 1000", 3,
                        {7: "conv3_4/conv3_4", 15: "conv5_4/conv5_4", 17: "fc7/fc7", 18: "prob"}, STD),
}  # fmt: skip
for _depth, _two, _three in ((50, 4, 6), (101, 4, 23), (152, 8, 36)):
    _last = 1 + 3 + _two + _three + 3
    LUCID[f"ResnetV1_{_depth}_slim"] = Said(
        f"slim_models/ResnetV1_{_depth}.pb", 224, TF, "input", f"64 256x3 512x{_two} 1024x{_three} 2048x3 1000", 1,
        {0: f"resnet_v1_{_depth}/conv1/Relu", 1: f"resnet_v1_{_depth}/block1/unit_1/bottleneck_v1/Relu",
         _last - 1: f"resnet_v1_{_depth}/block4/unit_3/bottleneck_v1/Relu",
         _last: f"resnet_v1_{_depth}/predictions/Softmax"}, STD)  # fmt: skip
    _last += 4
    LUCID[f"ResnetV2_{_depth}_slim"] = Said(
        f"slim_models/ResnetV2_{_depth}.pb", 224, UNIT, "input",
        f"64 256x3 256 512x{_two} 512 1024x{_three} 1024 2048x4 1001", 1,
        {0: f"resnet_v2_{_depth}/block1/unit_1/bottleneck_v2/preact/Relu",
         4: f"resnet_v2_{_depth}/block2/unit_1/bottleneck_v2/preact/Relu",
         5 + _two: f"resnet_v2_{_depth}/block3/unit_1/bottleneck_v2/preact/Relu",
         _last - 1: f"resnet_v2_{_depth}/postnorm/Relu", _last: f"resnet_v2_{_depth}/predictions/Softmax"})  # fmt: skip


def expanded(depths: str) -> list[int]:
    runs = [text.partition("x") for text in depths.split()]
    return [int(depth) for depth, _, count in runs for _ in range(int(count or 1))]


def test_the_models_are_lucids_31():
    assert len(LUCID) == 31
    assert {name for name, entry in catalogue().items() if entry.family != "stand-in"} == set(LUCID)
    assert set(nets_factory.models_map) == set(catalogue())
    assert all(getattr(vision_models, name).__name__ == name for name in LUCID)


@pytest.mark.parametrize("name", LUCID)
def test_layers(name):
    said, layers = LUCID[name], vision_models.MODELS[name].layers
    assert [layer.depth for layer in layers] == expanded(said.depths)
    assert {at: layers[at].name for at in said.names} == said.names
    assert len({layer.name for layer in layers}) == len(layers)
    tags = [layer.tags for layer in layers]
    conv = {"conv", "pre_relu"} if name == "AlexNet" else {"conv"}
    assert (tags.count({"dense"}), tags.count(conv)) == (said.dense, len(layers) - said.dense)


@pytest.mark.parametrize("name", LUCID)
def test_what_a_model_wants_to_be_fed(name):
    said, entry = LUCID[name], catalogue()[name]
    assert entry.image_shape == (said.size, said.size, 3)
    assert tuple(tuple(end) if isinstance(end, list) else end for end in entry.image_value_range) == said.range
    assert entry.is_BGR == (said.range is BGR)
    assert entry.input_name == said.input
    assert f"vision/{said.path}" in entry.files


@pytest.mark.parametrize("name", LUCID)
def test_labels_and_synsets_fit_the_output(name):
    said, entry, classes = LUCID[name], catalogue()[name], expanded(LUCID[name].depths)[-1:]
    assert entry.labels == said.labels
    assert entry.synsets == (f"{said.labels}_synsets" if (said.labels or "").startswith("ImageNet") else None)
    if entry.labels is None:
        return
    lists = [label_lists()[key].read() for key in (entry.labels, entry.synsets) if key]
    # InceptionV1 has 1008 outputs, of which the last seven have no class.
    assert {len(found) for found in lists} == {1001 if entry.labels == ALT else classes[0]}


def test_the_fine_tuned_twin_shares_its_layers_as_in_lucid():
    assert vision_models.InceptionV1_adv_finetuned.layers is vision_models.InceptionV1.layers
    assert vision_models.InceptionV1_adv_finetuned.layers[0].model_name == "InceptionV1"


def test_families():
    families = Counter(catalogue()[name].family for name in LUCID)
    assert families == {"InceptionV1": 2, "caffe": 7, "slim": 20, "other": 2}
    assert all(entry.family == "slim" for name, entry in catalogue().items() if name.endswith("_slim"))


def test_no_file_name_stands_for_two_models():
    names = [name for entry in catalogue().values() for name in entry.files]
    assert len(set(names)) == len(names)


HASH_LENGTHS = {"md5": 32, "sha1": 40, "sha256": 64, "sha384": 96}


def test_every_address_says_where_it_was_read():
    for name in LUCID:
        downloads = catalogue()[name].downloads
        assert downloads, name
        for download in downloads:
            assert re.fullmatch(r"https?://[\w.-]+/\S+", download.url)
            assert download.source
            assert download.kind in ("graph", "caffemodel", "checkpoint", "pytorch")


def test_hashes_have_the_length_of_their_kind():
    downloads = [download for entry in catalogue().values() for download in entry.downloads]
    hashes = [text for download in downloads for text in (download.hash, download.member_hash) if text]
    assert len(hashes) >= 15
    for text in hashes:
        algorithm, digest = text.split(":")
        assert re.fullmatch(r"[0-9a-f]+", digest)
        assert len(digest) == HASH_LENGTHS[algorithm]


@pytest.mark.parametrize(
    ("name", "url", "known"),
    [
        ("InceptionV1_caffe", "http://dl.caffe.berkeleyvision.org/bvlc_googlenet.caffemodel",
         "sha1:405fc5acd08a3bb12de8ee5e23a96bec22f08204"),
        ("CaffeNet_caffe", "http://dl.caffe.berkeleyvision.org/bvlc_reference_caffenet.caffemodel",
         "sha1:4c8d77deb20ea792f84eb5e6d0a11ca0a8660a46"),
    ],
)  # fmt: skip
def test_caffes_models_have_the_addresses_and_hashes_of_caffes_model_zoo(name, url, known):
    download = catalogue()[name].downloads[0]
    assert (download.url, download.kind, download.hash) == (url, "caffemodel", known)


def test_clips_hash_is_the_one_in_its_address():
    download = catalogue()["Clip_ResNet50_4x"].downloads[0]
    assert download.hash == "sha256:" + download.url.split("/")[-2]


def test_a_checkpoint_says_how_it_is_frozen():
    for name, entry in catalogue().items():
        if entry.downloads and entry.downloads[0].kind not in (*READABLE, "pytorch"):
            assert entry.freezing is not None, name
            assert entry.freezing.labels_offset == (1 if name.startswith("ResnetV1") else 0)
