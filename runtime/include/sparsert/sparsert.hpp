// sparsert/sparsert.hpp — everything.
#pragma once

#include "sparsert/attention.hpp"
#include "sparsert/buffer.hpp"
#include "sparsert/device.hpp"
#include "sparsert/dtype.hpp"
#include "sparsert/equivalence.hpp"
#include "sparsert/error.hpp"
#include "sparsert/files.hpp"
#include "sparsert/formats.hpp"
#include "sparsert/operations.hpp"
#include "sparsert/ops.hpp"
#include "sparsert/order.hpp"
#include "sparsert/prune.hpp"
#include "sparsert/sparse.hpp"
#include "sparsert/stream.hpp"
#include "sparsert/tensor.hpp"
#include "sparsert/version.hpp"
