"""TensorFlow's ops as stateless torch functions that give the same values at every input size; images are NCHW."""

from torch import fx

from converters.functional import batch_space, elementwise, norms, resizing, shapes, sizes, windows
from converters.functional.batch_space import batch_to_space as batch_to_space
from converters.functional.batch_space import depth_to_space as depth_to_space
from converters.functional.batch_space import space_to_batch as space_to_batch
from converters.functional.batch_space import space_to_depth as space_to_depth
from converters.functional.elementwise import add_all as add_all
from converters.functional.elementwise import add_bias as add_bias
from converters.functional.elementwise import cast as cast
from converters.functional.elementwise import channel_axis as channel_axis
from converters.functional.elementwise import check_broadcast as check_broadcast
from converters.functional.elementwise import div_no_nan as div_no_nan
from converters.functional.elementwise import floor_divide as floor_divide
from converters.functional.elementwise import maximum as maximum
from converters.functional.elementwise import minimum as minimum
from converters.functional.elementwise import selu as selu
from converters.functional.elementwise import squared_difference as squared_difference
from converters.functional.norms import local_response_norm as local_response_norm
from converters.functional.norms import lrn_band as lrn_band
from converters.functional.resizing import resize as resize
from converters.functional.shapes import arrange as arrange
from converters.functional.shapes import check_rows as check_rows
from converters.functional.shapes import chunk as chunk
from converters.functional.shapes import concat as concat
from converters.functional.shapes import from_tensorflow_order as from_tensorflow_order
from converters.functional.shapes import index_axes as index_axes
from converters.functional.shapes import linear as linear
from converters.functional.shapes import matmul as matmul
from converters.functional.shapes import mirror_pad as mirror_pad
from converters.functional.shapes import reduce_prod as reduce_prod
from converters.functional.shapes import reshape as reshape
from converters.functional.shapes import split as split
from converters.functional.shapes import squeeze as squeeze
from converters.functional.shapes import squeeze_all as squeeze_all
from converters.functional.shapes import stack as stack
from converters.functional.shapes import take as take
from converters.functional.shapes import tile as tile
from converters.functional.shapes import to_tensorflow_order as to_tensorflow_order
from converters.functional.shapes import transpose as transpose
from converters.functional.shapes import unbind as unbind
from converters.functional.sizes import Expression as Expression
from converters.functional.sizes import evaluate_size as evaluate_size
from converters.functional.sizes import evaluate_sizes as evaluate_sizes
from converters.functional.sizes import float32 as float32
from converters.functional.sizes import sizes_as_tensor as sizes_as_tensor
from converters.functional.windows import Padding as Padding
from converters.functional.windows import Pair as Pair
from converters.functional.windows import avg_pool2d as avg_pool2d
from converters.functional.windows import check_batch as check_batch
from converters.functional.windows import conv2d as conv2d
from converters.functional.windows import conv2d_transpose as conv2d_transpose
from converters.functional.windows import max_pool2d as max_pool2d
from converters.functional.windows import padding_amounts as padding_amounts
from converters.functional.windows import spatial_padding as spatial_padding
from converters.functional.windows import torch_padding as torch_padding

# The order of their code in standalone modules.
MODULES = (sizes, windows, norms, elementwise, shapes, resizing, batch_space)

# torch.fx records their calls and does not trace into them, so traced networks compute the same at every input size.
FUNCTIONS = [
    name for name, function in vars().items() if getattr(function, "__module__", "").startswith(f"{__name__}.")
]
for name in FUNCTIONS:
    fx.wrap(name)
