"""The catalogue's models as classes under Lucid's names; written by `python -m parity_tests.model_stub`."""

from lucid_port.modelzoo.layer import Layer as Layer
from lucid_port.modelzoo.vision_base import Model as Model

MODELS: dict[str, type[Model]]

class InceptionV1(Model):
    """GoogLeNet as trained by Google (inception5h), the default model of Lucid and of the Distill articles."""

class InceptionV1_adv_finetuned(Model):
    """InceptionV1 fine-tuned on adversarial examples (L2, epsilon 255)."""

class AlexNet_caffe_Places365(Model):
    """AlexNet trained on Places365 by MIT with Caffe."""

class CaffeNet_caffe(Model):
    """CaffeNet, BVLC's AlexNet with pooling before normalization."""

class InceptionV1_caffe(Model):
    """GoogLeNet as trained by BVLC with Caffe."""

class InceptionV1_caffe_Places205(Model):
    """GoogLeNet trained on Places205 by MIT with Caffe."""

class InceptionV1_caffe_Places365(Model):
    """GoogLeNet trained on Places365 by MIT with Caffe."""

class VGG16_caffe(Model):
    """VGG with 16 layers as trained by Oxford with Caffe."""

class VGG19_caffe(Model):
    """VGG with 19 layers as trained by Oxford with Caffe."""

class InceptionResnetV2_slim(Model):
    """Inception-ResNet V2 of TF-Slim."""

class InceptionV1_slim(Model):
    """Inception V1 of TF-Slim (with batch normalization)."""

class InceptionV2_slim(Model):
    """Inception V2 of TF-Slim."""

class InceptionV3_slim(Model):
    """Inception V3 of TF-Slim."""

class InceptionV4_slim(Model):
    """Inception V4 of TF-Slim."""

class MobilenetV1_025_slim(Model):
    """MobileNet V1 of TF-Slim, a quarter as wide, trained on 128 pixels."""

class MobilenetV1_050_slim(Model):
    """MobileNet V1 of TF-Slim, half as wide, trained on 160 pixels."""

class MobilenetV1_slim(Model):
    """MobileNet V1 of TF-Slim, 224 pixels."""

class MobilenetV2_10_slim(Model):
    """MobileNet V2 of TF-Slim."""

class MobilenetV2_14_slim(Model):
    """MobileNet V2 of TF-Slim, 1.4 times as wide."""

class NasnetLarge_slim(Model):
    """NASNet-A large of TF-Slim."""

class NasnetMobile_slim(Model):
    """NASNet-A mobile of TF-Slim."""

class PnasnetLarge_slim(Model):
    """PNASNet-5 large of TF-Slim."""

class PnasnetMobile_slim(Model):
    """PNASNet-5 mobile of TF-Slim."""

class ResnetV1_101_slim(Model):
    """ResNet V1 with 101 layers of TF-Slim."""

class ResnetV1_152_slim(Model):
    """ResNet V1 with 152 layers of TF-Slim."""

class ResnetV1_50_slim(Model):
    """ResNet V1 with 50 layers of TF-Slim."""

class ResnetV2_101_slim(Model):
    """ResNet V2 with 101 layers of TF-Slim."""

class ResnetV2_152_slim(Model):
    """ResNet V2 with 152 layers of TF-Slim."""

class ResnetV2_50_slim(Model):
    """ResNet V2 with 50 layers of TF-Slim."""

class AlexNet(Model):
    """AlexNet with the original weights, each group of its grouped convolutions an op of its own."""

class Clip_ResNet50_4x(Model):
    """The image half of OpenAI's CLIP RN50x4."""

class InceptionV1_seeded(Model):
    """InceptionV1's exact graph with random weights, made on the spot: for trying things offline, and for tests."""

class TinyInceptionV1(Model):
    """InceptionV1's topology at a quarter of its width, trained on pictures that this project draws; comes with the package."""  # noqa: E501
