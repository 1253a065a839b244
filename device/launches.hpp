// device/launches.hpp — counting the kernels that run, so that a proof can show that they did.
#pragma once

#include "sparsert/device.hpp"

namespace sparsert {

/// One kernel went to a device of this type, `simt` or `cuda`.
void count_launch(Device::Type type) noexcept;

}  // namespace sparsert
