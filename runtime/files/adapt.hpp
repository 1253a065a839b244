// runtime/files/adapt.hpp — what is done to a tensor after it was read, when asked for.
#pragma once

#include <string_view>

#include "sparsert/files.hpp"

namespace sparsert::files {

/// scale · (value - zero point) as float32. Throws `FileError` where scales and shape do not fit.
Tensor dequantized(const Tensor& stored, const Quantization& quantization);

/// A weight whose dimensions are `axes`, in PyTorch's order; the tensor itself for axes that are unknown or in order.
///   "IO"   (in, out)                 -> (out, in)        dense layers of Keras, TensorFlow and Flax
///   "WIO"  (w, in, out)              -> (out, in, w)     and so on for 1-D, 2-D and 3-D convolutions
///   "HWIO", "DHWIO", "OHWI"          -> OIHW, OIDHW
///   "HWCM" (h, w, channels, m)       -> (channels · m, 1, h, w)
///   "1HWC" (1, h, w, channels · m)   -> (channels · m, 1, h, w)
///   "HWOI" (h, w, out, in)           -> (in, out, h, w)  transposed convolutions of Keras
Tensor in_torch_order(const Tensor& weight, std::string_view axes);

}  // namespace sparsert::files
